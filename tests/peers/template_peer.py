"""What transformers makes of a chat template: the peer of the scripts beside this one.

A conversation is a dict: messages, tools, documents, variables, add_generation_prompt, continue_final_message, now.
"""
import datetime
import re

from transformers.utils import chat_template_utils as peer

NOW = 1764115200  # 2025-11-26 00:00 UTC; strftime_now is frozen at it


class Frozen(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW)


peer.datetime = Frozen


def render(source, c):
    """The text, and the byte ranges of the generation blocks; or an exception's text."""
    messages = peer._normalize_chat_messages(c["messages"])
    try:
        texts, spans = peer.render_jinja_template(
            [messages], tools=c.get("tools"), documents=c.get("documents"), chat_template=source,
            add_generation_prompt=c.get("add_generation_prompt", False),
            continue_final_message=c.get("continue_final_message", False),
            return_assistant_tokens_mask=bool(re.search(r"generation\s*[-+]?%}", source)),
            **c.get("variables", {}))
    except Exception as e:  # whatever Python says: ours is to be an error too
        return None, f"{type(e).__name__}: {e}"
    if texts[0] is None or any(0xD800 <= ord(ch) <= 0xDFFF for ch in texts[0]):
        return None, "not text"
    at = lambda i: len(texts[0][:i].encode())
    return texts[0], [[at(b), at(e)] for b, e in spans[0]] if spans else []


def case(template, c, **named):
    """A row of a case file for check_template; `named` says what it is called there."""
    text, more = render(template, c)
    row = dict(named)
    if text is None:
        row["error"] = more[:200]
    else:
        row["want"] = text
        if more:
            row["assistant"] = more
    return row
