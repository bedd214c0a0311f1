/* pre.c - llama.cpp's pre-tokenizers by name. The stages are the patterns of the tokenizer.json
 * that each name was made for; where llama.cpp's own spelling only approximates it (std::regex has
 * no \p{Lu}), the original stands here. The letters and signs of deepseek-llm are that vocabulary's
 * own. */
#include "token/pre.h"

#include <string.h>

#define QUOTE_ANY "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define ANY_CASE \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+"
#define UPPER_CASE \
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*"
#define KANA_HAN "[一-龥\u3040-ゟ゠-ヿ]+"
#define WORDS_SIGNS                                                                    \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?" \
    "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+"
#define BLOOM_WORD " ?[^(\\s|.,!?…。，、।۔،)]+"

static const fli_pre rows[] = {
    {.name = "gpt-2",
     .also =
         "phi-2|jina-es|jina-de|gigachat|jina-v2-es|jina-v2-de|a.x-4.0|mellum|modern-bert|mpt|olmo|"
         "jais|trillion|granite-docling|exaone4|roberta-bpe|jina-v1-en|jina-v2-code",
     .stage = {"gpt2"}},
    {.name = "llama-bpe",
     .also = "llama3|llama-v3|falcon3|falcon-h1|pixtral|midm-2.0|lfm2|jina-v5-nano",
     .stage = {"llama3"},
     .ignore_merges = true,
     .add_bos = true},
    {.name = "dbrx", .also = "smaug-bpe|chatglm-bpe|glm4", .stage = {"llama3"}},
    {.name = "qwen2",
     .also = "deepseek-r1-qwen|kormo|f2llmv2|stablelm2|megrez|hunyuan|solar-open|grok-2",
     .stage = {"qwen2"}},
    {.name = "gpt-4o", .also = "llama4|kanana2|talkie|minimax-m2", .stage = {"o200k"}},
    {.name = "smollm",
     .also = "starcoder|refact|command-r|codeshell|exaone|minerva-7b|mellum2",
     .stage = {"\\p{N}", "gpt2"}},
    {.name = "default",
     .stage = {"[\\p{P}\\$\\+<=>\\^~\\|]+", "gpt2", "\\p{N}+", "[0-9][0-9][0-9]"}},
    {.name = "falcon", .stage = {"[\\p{P}\\$\\+<=>\\^~\\|`]+", "gpt2", "[0-9][0-9][0-9]"}},
    {.name = "deepseek-v3",
     .also = "hunyuan-dense|joyai-llm",
     .stage = {"\\p{N}{1,3}", KANA_HAN, WORDS_SIGNS "[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"}},
    {.name = "deepseek-coder",
     .stage = {"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", "\\p{N}"}},
    {.name = "deepseek-llm",
     .stage = {"[\r\n]",
               "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-"
               "ԯԱ-"
               "ՖႠ"
               "-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-"
               "ῌῐ-"
               "ΐ"
               "ῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-"
               "ꚛꜢ-"
               "ꝯ"
               "ꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-"
               "𑣟𞤀-"
               "𞥃]+",
               "\\s?[!-/:-~！-／：-～‘-‟　-。]+", "\\s+$", "[一-龥ࠀ-一가-퟿]+", "\\p{N}+"}},
    {.name = "qwen35",
     .stage = {QUOTE_ANY "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| "
                         "?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES}},
    {.name = "tekken",
     .stage = {ANY_CASE "|" UPPER_CASE "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES},
     .ignore_merges = true,
     .add_bos = true},
    {.name = "bloom", .also = "poro-chat|gpt3-finnish", .stage = {BLOOM_WORD}},
    {.name = "viking", .stage = {BLOOM_WORD, "\\p{N}"}},
    {.name = "chameleon",
     .stage = {"<sentinel:[0-9]+>", "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z", "([\\t\\n]|    |  )",
               "\\p{N}", "[\\p{P}!-/:-@\\[-`{-~]", "gpt2"},
     .add_bos = true},
    {.name = "superbpe", .stage = {"\\p{N}+", "(?=(\\d{3})+(?!\\d))"}},
    {.name = "bailingmoe",
     .also = "bailingmoe2|llada-moe",
     .stage = {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| "
               "?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|"
               "\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}},
    {.name = "seed-coder",
     .stage = {QUOTE_ANY
               "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" SPACES}},
    {.name = "exaone-moe",
     .stage = {QUOTE_ANY "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}|"
                         " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"}},
    {.name = "tiny_aya", .also = "cohere2moe", .stage = {"\\d{1,3}(?=(?:\\d{3})*\\b)", "o200k"}},
    {.name = "minicpm5",
     .stage = {"\\p{N}{1,3}", QUOTE_ANY
               "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}+| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES},
     .ignore_merges = true},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

/* Whether `name` is one of the words of "a|b|c". */
static bool among(const char *words, const char *name) {
    size_t n = strlen(name);
    for (const char *at = words; at; at = strchr(at, '|')) {
        at += *at == '|';
        if (strncmp(at, name, n) == 0 && (at[n] == '|' || at[n] == '\0')) return true;
    }
    return false;
}

const fli_pre *fli_pre_find(const char *name) {
    for (int i = 0; i < N_ROWS; i++)
        if (strcmp(rows[i].name, name) == 0 || (rows[i].also && among(rows[i].also, name)))
            return rows + i;
    return NULL;
}

static bool is_stage(const fli_stage *s, const char *pattern) {
    const fli_pattern *known = fli_pattern_find(pattern);
    return known ? s->known == known : !s->known && strcmp(s->regex, pattern) == 0;
}

const fli_pre *fli_pre_of_stages(const fli_splitter *s) {
    for (int i = 0; i < N_ROWS; i++) {
        int k = 0;
        while (k < s->n && rows[i].stage[k] && is_stage(s->stage + k, rows[i].stage[k])) k++;
        if (k > 0 && k == s->n && !rows[i].stage[k]) return rows + i;
    }
    return NULL;
}
