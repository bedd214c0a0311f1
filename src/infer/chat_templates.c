/* chat_templates - the layouts that models are tuned on, for those that come without theirs. */
#include <string.h>

#include "infer/chat.h"

#define EACH "{% for m in messages %}"
#define END  "{% endfor %}{% if add_generation_prompt %}"

static const fl_chat_template rows[] = {
    {"plain",
     EACH "{% if m['role'] == 'system' %}{{ m['content'] + '\\n\\n' }}{% else %}"
          "{{ ('User: ' if m['role'] == 'user' else 'Assistant: ') + m['content'] | trim + "
          "'\\n' }}"
          "{% endif %}" END "{{ 'Assistant:' }}{% endif %}",
     "\nUser:"},
    {"chatml",
     EACH "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}" END
          "{{ '<|im_start|>assistant\\n' }}{% endif %}",
     "<|im_end|>"},
    {"llama3",
     "{{ bos_token }}" EACH "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\\n\\n' + "
     "m['content'] | trim + '<|eot_id|>' }}" END
     "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}",
     "<|eot_id|>"},
    {"gemma",
     "{{ bos_token }}{% set ns = namespace(first='') %}" EACH
     "{% if m['role'] == 'system' %}{% set ns.first = m['content'] + '\\n\\n' %}{% else %}"
     "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else 'user') + '\\n' + ns.first "
     "+ m['content'] | trim + '<end_of_turn>\\n' }}{% set ns.first = '' %}{% endif %}" END
     "{{ '<start_of_turn>model\\n' }}{% endif %}",
     "<end_of_turn>"},
    {"zephyr",
     EACH "{{ '<|' + m['role'] + '|>\\n' + m['content'] + eos_token + '\\n' }}" END
          "{{ '<|assistant|>\\n' }}{% endif %}",
     NULL},
    {"vicuna",
     EACH "{% if m['role'] == 'system' %}{{ m['content'] + ' ' }}{% elif m['role'] == 'user' %}"
          "{{ 'USER: ' + m['content'] + ' ' }}{% else %}{{ 'ASSISTANT: ' + m['content'] | trim + "
          "eos_token }}{% endif %}" END "{{ 'ASSISTANT:' }}{% endif %}",
     "USER:"},
    {"alpaca",
     EACH "{% if m['role'] == 'system' %}{{ m['content'] + '\\n\\n' }}{% elif m['role'] == 'user' "
          "%}{{ '### Instruction:\\n' + m['content'] + '\\n\\n' }}{% else %}{{ '### Response:\\n' "
          "+ m['content'] + '\\n\\n' }}{% endif %}" END "{{ '### Response:\\n' }}{% endif %}",
     "### Instruction:"},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

const fl_chat_template *fl_chat_template_find(const char *name) {
    for (int i = 0; i < N_ROWS; i++)
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    return NULL;
}

const char *fl_chat_template_names(void) {
    return "plain, chatml, llama3, gemma, zephyr, vicuna, alpaca";
}
