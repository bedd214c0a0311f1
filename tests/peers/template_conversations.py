"""Conversations that exercise what chat templates branch on. CONVERSATIONS: name -> conversation (template_peer)."""
import copy

from template_peer import NOW

WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "The weather <now> & \"soon\" at a place – in °C.",
    "parameters": {"type": "object", "properties": {
        "city": {"type": "string", "description": "city, e.g. Zürich"},
        "days": {"type": "integer", "minimum": 1, "default": 3},
        "unit": {"type": "string", "enum": ["C", "F"]},
        "coords": {"type": "array", "items": {"type": "number"}},
        "opts": {"type": "object", "properties": {"wind": {"type": "boolean"}}, "required": ["wind"]}},
        "required": ["city"]},
    "return": {"type": "object"}}}
CLOCK = {"type": "function", "function": {
    "name": "clock", "description": "The time.", "parameters": {"type": "object", "properties": {}}}}

SYSTEM = {"role": "system", "content": "You are terse.\nAnswer in 'one' word. "}
USER = {"role": "user", "content": "What is the capital of France?"}
REPLY = {"role": "assistant", "content": "Paris."}
AGAIN = {"role": "user", "content": "  And of Spain?\n"}
CALL = {"role": "assistant", "content": "", "tool_calls": [
    {"id": "abcdef123", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Zürich", "days": 2, "wind": True, "x": None, "f": 1.0}}}]}
CALL_TEXT = {"role": "assistant", "content": None, "tool_calls": [
    {"id": "abcdef123", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\": \"Bern\"}"}}]}
TWO_CALLS = {"role": "assistant", "content": "Let me look.", "tool_calls": [
    CALL["tool_calls"][0], {"id": "abcdef124", "type": "function", "function": {"name": "clock", "arguments": {}}}]}
RESULT = {"role": "tool", "tool_call_id": "abcdef123", "name": "get_weather", "content": "{\"temp\": -3.5, \"sky\": \"klar\"}"}
RESULT2 = {"role": "tool", "tool_call_id": "abcdef124", "name": "clock", "content": "12:30"}
DONE = {"role": "assistant", "content": "It is -3.5 °C."}
THOUGHT = {"role": "assistant", "reasoning_content": "Easy.\nFrance -> Paris", "content": "Paris."}
INLINE = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nParis."}
PARTS = {"role": "user", "content": [{"type": "text", "text": "Look: "}, {"type": "image", "url": "x.png"}, {"type": "text", "text": "what is it?"}]}
EMOJI = {"role": "user", "content": "Grüße 👩‍👩‍👧 \u00a0 مرحبا 你好 \u2028 <|im_end|> {{ 1 }} {% x %} \\n \"quoted\" 'single'\t"}
DOCUMENTS = [{"title": "Bridges", "text": "A bridge spans.", "contents": "A bridge spans."}, {"title": "Düne", "text": "Sand."}]

SPECIALS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
MESSAGES = {
    "user": [USER],
    "system": [SYSTEM, USER],
    "system only": [SYSTEM],
    "turns": [SYSTEM, USER, REPLY, AGAIN],
    "long": [USER, REPLY, AGAIN, REPLY, USER, REPLY, AGAIN],
    "assistant last": [SYSTEM, USER, REPLY],
    "empty": [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}, {"role": "user", "content": " "}],
    "nothing": [],
    "unicode": [EMOJI, {"role": "assistant", "content": "👍🏽\n\n"}, EMOJI],
    "two users": [USER, AGAIN],
    "assistant first": [REPLY, USER],
    "system late": [USER, SYSTEM, AGAIN],
    "thought": [USER, THOUGHT, AGAIN],
    "inline thought": [USER, INLINE, AGAIN],
    "parts": [SYSTEM, PARTS],
    "all parts": [{"role": "system", "content": [{"type": "text", "text": "Be kind."}]}, PARTS, {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]}, PARTS],
    "odd role": [USER, {"role": "narrator", "content": "Time passes."}],
    "no content": [USER, {"role": "assistant"}, AGAIN],
}
TOOL_MESSAGES = {
    "tools": [SYSTEM, USER],
    "call": [SYSTEM, USER, CALL],
    "call text": [USER, CALL_TEXT],
    "result": [SYSTEM, USER, CALL, RESULT],
    "answered": [USER, CALL, RESULT, DONE, AGAIN],
    "two calls": [SYSTEM, USER, TWO_CALLS, RESULT, RESULT2],
    "thought call": [USER, {**CALL, "reasoning_content": "I need a tool."}, RESULT, {**DONE, "reasoning_content": "now I know"}, AGAIN],
}


def conversations():
    out = {}

    def add(name, messages, **more):
        out[name] = {"messages": messages, "variables": SPECIALS, "now": NOW, **more}

    for name, messages in {**MESSAGES, **TOOL_MESSAGES}.items():
        add(name, messages)
        add(name + "; ask", messages, add_generation_prompt=True)
    for name, messages in TOOL_MESSAGES.items():
        add(name + "; two tools; ask", messages, tools=[WEATHER, CLOCK], add_generation_prompt=True)
        add(name + "; a tool", messages, tools=[WEATHER])
    add("user; two tools; ask", [USER], tools=[WEATHER, CLOCK], add_generation_prompt=True)
    add("empty tools; ask", [USER], tools=[], add_generation_prompt=True)
    add("documents; ask", [SYSTEM, USER], documents=DOCUMENTS, add_generation_prompt=True)
    for name, final in {"reply": REPLY, "spaces": {"role": "assistant", "content": "Well,  "},
                        "parts": {"role": "assistant", "content": [{"type": "text", "text": "Well, "}]},
                        "empty": {"role": "assistant", "content": ""}}.items():
        add("continue " + name, [SYSTEM, USER, final], continue_final_message=True)
    for name, extra in {"thinking off": {"enable_thinking": False}, "thinking on": {"enable_thinking": True},
                        "date": {"date_string": "01 Jan 2025", "tools_in_user_message": False},
                        "effort": {"reasoning_effort": "high", "model_identity": "You are a test.", "builtin_tools": ["browser", "python"]},
                        "no specials": {}}.items():
        c = {"messages": [SYSTEM, USER, THOUGHT, AGAIN], "tools": [WEATHER], "add_generation_prompt": True, "now": NOW,
             "variables": {**({} if name == "no specials" else SPECIALS), **extra}}
        out["variables " + name] = c
    return copy.deepcopy(out)


CONVERSATIONS = conversations()
