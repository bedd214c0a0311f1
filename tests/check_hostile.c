/* check_hostile - thousands of spoilt files of every kind that is read: hostile.h says how they are
 * spoilt and what must hold of each.
 *
 * Caught by it: a count believed before it is checked, a length that wraps, a message without the
 * file's name, a table as long as a number in a file says, recursion without a limit, a vocabulary
 * whose special ids lie outside of it. */
#include "base/alloc.h"
#include "base/hash.h"
#include "compress/imatrix.h"
#include "format/gguf.h"
#include "hostile.h"
#include "infer/chat.h"
#include "infer/generate.h"
#include "infer/grammar.h"
#include "infer/prompt_cache.h"
#include "infer/schema.h"
#include "model/check.h"
#include "model/transform.h"
#include "token/template.h"

static uint8_t *seed;  // the file that is spoilt
static size_t seed_bytes;

static void read_seed(const char *path) {
    char *text = NULL;
    fl_dealloc(seed);
    CHECKF(fl_file_read(path, 1 << 22, &text, &seed_bytes, NULL) == FL_OK, "%s", path);
    seed = (uint8_t *)text;
}

static const char *data_file(const char *name) {
    static char path[FL_PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", FL_TEST_DATA, name);
    return path;
}

static void copy_into_folder(const char *from, const char *name) {
    char *text = NULL;
    size_t n = 0;
    CHECKF(fl_file_read(data_file(from), 1 << 22, &text, &n, NULL) == FL_OK, "%s", from);
    folder_put(name, text, n);
    fl_dealloc(text);
}

/* ---- opening ---- */

/* A model that was accepted runs: two tokens, whatever its numbers are. */
static fl_status use_model(fl_model *m, fl_err *err) {
    static const int32_t ids[] = {1, 2, 3};
    fl_session *s = NULL;
    fl_generate_result r;
    FL_TRY(fl_session_new(&s, m, &(fl_session_opts){.context = 8}, err));
    const fl_generate_opts o = {.max_tokens = 2};
    const fl_status st = fl_generate_ids(s, ids, 3, &o, &r, err);
    fl_session_free(s);
    return st == FL_OK ? st : fl_context(err, st, "%s", hostile_kind.named);
}

static fl_status open_model(const char *path, fl_err *err) {
    static int turn;
    fl_model *m;
    if (turn++ % 64 == 0) {  // checking never fails, whatever the file
        fl_findings f = {0};
        CHECK(fl_model_check(&f, NULL, path, NULL, NULL) == FL_OK);
        fl_findings_clear(&f);
    }
    FL_TRY(fl_model_load(&m, path, &(fl_model_opts){.as_stored = true}, err));
    const fl_status s = turn % 8 ? FL_OK : use_model(m, err);
    fl_model_free(m);
    return s;
}

static fl_status open_tokenizer(const char *path, fl_err *err) {
    static const char text[] = "The cat's 12 \xc3\xa9\n <s>\xff \xe4\xbd\xa0 aaaaaaaaaaaa";
    fl_tokenizer *t;
    fl_ids ids = {0};
    FL_TRY(fl_tokenizer_load(&t, path, err));
    fl_status s = fl_encode(t, text, sizeof text - 1, &(fl_encode_opts){.add_special = true}, &ids,
                            err);
    fl_ids_clear(&ids);
    fl_tokenizer_free(t);
    return s == FL_OK ? s : fl_context(err, s, "%s", hostile_kind.named);
}

static fl_status open_imatrix(const char *path, fl_err *err) {
    fl_imatrix *im;
    FL_TRY(fl_imatrix_load(&im, path, err));
    (void)fl_imatrix_find(im, "blk.0.attn_q.weight", 32, 0, 1);
    fl_imatrix_free(im);
    return FL_OK;
}

static fl_status open_safetensors(const char *path, fl_err *err) {
    fl_safetensors *st;
    FL_TRY(fl_safetensors_open(&st, path, err));
    for (int i = 0; i < fl_safetensors_count(st); i++) {
        const fl_tensor *t = &fl_safetensors_at(st, i)->t;
        if (fl_tensor_count(t)) (void)fl_tensor_get(t, fl_tensor_count(t) - 1);
    }
    fl_safetensors_close(st);
    return FL_OK;
}

static fl_status open_adapter(const char *dir, fl_err *err) {
    char path[FL_PATH_MAX];
    fl_model *m = NULL;
    json_t *config = NULL;
    FL_TRY(fl_path_join(path, dir, "adapter_config.json", err));
    FL_TRY(fl_json_load(&config, path, err));
    fl_status s = fl_model_load(&m, data_file("golden/gpt2"),
                                &(fl_model_opts){.dtype = FL_F32, .no_tokenizer = true}, err);
    if (s == FL_OK) s = fl_model_attach(m, &fl_transform_lora, config, 1, err);
    if (s == FL_OK) s = fl_transform_lora.load(m->transforms->state, m, dir, err);
    json_decref(config);
    fl_model_free(m);
    return s;
}

static fl_status open_template(const char *path, fl_err *err) {
    fl_template *t;
    fl_rendered out = {0};
    char *text;
    size_t n;
    FL_TRY(fl_file_read(path, 1 << 20, &text, &n, err));
    fl_status s = fl_template_parse(&t, text, n, err);
    fl_dealloc(text);
    if (s != FL_OK) return s;
    json_t *messages = json_pack("[{s:s, s:s}, {s:s, s:s}]", "role", "user", "content", "Hi",
                                 "role", "assistant", "content", "Ho");
    const fl_conversation c = {.messages = messages,
                               .limits = {.steps = 200000, .output = 1 << 20, .memory = 1 << 24}};
    s = fl_template_render(t, &c, &out, err);
    fl_rendered_clear(&out);
    fl_template_free(t);
    json_decref(messages);
    return s;
}

static fl_status open_grammar(const char *path, fl_err *err) {
    fl_grammar *g = NULL;
    char *text;
    size_t n;
    FL_TRY(fl_file_read(path, 1 << 22, &text, &n, err));
    const fl_status s = fl_grammar_parse(&g, text, n, err);
    fl_dealloc(text);
    fl_grammar_free(g);
    return s;
}

static fl_status open_schema(const char *path, fl_err *err) {
    json_t *schema;
    fl_grammar *g = NULL;
    fl_text text = {0};
    FL_TRY(fl_json_load(&schema, path, err));
    fl_status s = fl_schema_grammar(schema, &text, err);
    if (s == FL_OK) s = fl_grammar_parse(&g, fl_text_str(&text), text.n, err);
    fl_grammar_free(g);
    fl_text_clear(&text);
    json_decref(schema);
    return s;
}

static fl_session *session;  // that prompt caches are for
static const int32_t prompt[] = {72, 101, 108, 108, 111, 32, 119, 111, 114, 108, 100};
enum { N_PROMPT = sizeof prompt / sizeof *prompt };

/* Every second file gets the checksum that it should have: what lies behind it is looked at too. */
static void mend_checksum(const char *path) {
    char *data = NULL;
    size_t n = 0;
    fl_hash *h = fl_hash_new();
    CHECK(h && fl_file_read(path, 1 << 22, &data, &n, NULL) == FL_OK);
    if (n > FL_HASH_TEXT) {
        char sum[FL_HASH_TEXT];
        fl_hash_update(h, data, n - FL_HASH_TEXT);
        fl_hash_text(h, sum);
        FILE *f = fopen(path, "r+b");
        CHECK(f && fseek(f, (long)(n - FL_HASH_TEXT), SEEK_SET) == 0 &&
              fwrite(sum, 1, sizeof sum, f) == sizeof sum && fclose(f) == 0);
    }
    fl_hash_free(h);
    fl_dealloc(data);
}

static fl_status open_cache(const char *path, fl_err *err) {
    static int turn;
    int64_t reused = 0;
    if (turn++ % 2) mend_checksum(path);
    const fl_status s = fl_prompt_cache_use(session, path, prompt, N_PROMPT, &reused, err);
    CHECK(s != FL_OK || (reused >= 0 && reused <= N_PROMPT));
    return s;
}

static fl_chat *chat;

/* A conversation that was accepted is asked to go on. */
static fl_status open_chat(const char *path, fl_err *err) {
    fl_text text = {0};
    fl_chat_answer a;
    FL_TRY(fl_chat_load(chat, path, err));
    fl_status s = fl_chat_prompt(chat, &text, err);
    fl_text_clear(&text);
    if (s == FL_OK) s = fl_chat_say(chat, "Z", &(fl_generate_opts){.max_tokens = 1}, &a, err);
    return s == FL_OK ? s : fl_context(err, s, "%s", hostile_kind.named);
}

/* ---- GGUF ---- */

enum { PLACES_MAX = 1024 };
static size_t place[PLACES_MAX];
static int n_places;

static void add_place(size_t at) {
    if (n_places < PLACES_MAX) place[n_places++] = at;
}

/* Where the head's counts, lengths, types and offsets are. Returns where it ends. */
static size_t find_places(void) {
    fl_gguf_file *f = NULL;
    CHECK(fl_gguf_parse(&f, seed, seed_bytes, "seed", NULL) == FL_OK);
    n_places = 0;
    for (size_t at = 4; at < 32; at += 4) add_place(at);
    size_t end = 24;
    for (int i = 0; i < fl_gguf_n_keys(f); i++) {
        const fl_gguf_key *k = fl_gguf_key_at(f, i);
        const size_t value = (size_t)((const uint8_t *)k->value - seed);
        add_place(end);        // the length of its name
        add_place(value - 4);  // its type
        add_place(value);      // itself, or its length, or the type of its elements
        if (k->is_array) add_place(value + 4);
        end = value + k->value_bytes;
    }
    for (int i = 0; i < fl_gguf_n_tensors(f); i++) {
        const fl_stored_tensor *t = fl_gguf_tensor_at(f, i);
        add_place(end);
        end += 8 + strlen(t->name);
        for (int field = 0; field < 2 + 2 * t->t.rank + 2; field++)
            add_place(end + 4 * (size_t)field);
        end += 4 + 8 * (size_t)t->t.rank + 4 + 8;
    }
    fl_gguf_close(f);
    return end;
}

static void try_gguf(void) {
    fl_model *m = NULL;
    CHECK(fl_model_load(&m, data_file("chat"), &(fl_model_opts){.as_stored = true}, NULL) == FL_OK);
    CHECK(fl_model_save_gguf(m, folder_file("seed.gguf"), "tiny", FL_Q8_0, NULL) == FL_OK);
    fl_model_free(m);
    read_seed(folder_file("seed.gguf"));
    hostile_kind = (hostile_row){"m.gguf", "m.gguf", NULL, open_model};
    const size_t head = find_places();
    hostile_binary(seed, seed_bytes, place, n_places, head, 600);
    hostile_binary(seed, seed_bytes, NULL, 0, seed_bytes, 100);
}

static void try_imatrix(void) {
    static const float sums[32] = {1, 2, 3}, counts[1] = {4};
    const fl_write_tensor w[] =
        {{.name = "blk.0.attn_q.weight.in_sum2", .rank = 2, .dim = {1, 32}, .source = sums},
         {.name = "blk.0.attn_q.weight.counts", .rank = 2, .dim = {1, 1}, .source = counts}};
    fl_gguf *g = fl_gguf_new();
    fl_gguf_str(g, "general.type", "imatrix");
    fl_gguf_u32(g, "imatrix.chunk_count", 5);
    CHECK(fl_gguf_save(g, folder_file("seed.gguf"), w, 2, NULL) == FL_OK);
    fl_gguf_free(g);
    read_seed(folder_file("seed.gguf"));
    hostile_kind = (hostile_row){"imatrix.gguf", "imatrix.gguf", NULL, open_imatrix};
    find_places();
    hostile_binary(seed, seed_bytes, place, n_places, seed_bytes, 200);
}

/* The older kind: compress/imatrix.h draws it. */
static void try_old_imatrix(void) {
    static const char name[] = "blk.0.attn_q.weight", text[] = "tales";
    const int32_t entries = 1, n_name = sizeof name - 1, calls = 5, cols = 32, chunks = 7,
                  n_text = sizeof text - 1;
    static const float sums[32] = {1, 2, 3};
    const struct {
        const void *bytes;
        size_t n;
    } part[] = {{&entries, 4}, {&n_name, 4}, {name, sizeof name - 1},
                {&calls, 4},   {&cols, 4},   {sums, sizeof sums},
                {&chunks, 4},  {&n_text, 4}, {text, sizeof text - 1}};
    fl_text file = {0};
    size_t at[sizeof part / sizeof *part], n_at = 0;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        if (part[i].n == 4) at[n_at++] = file.n;
        fl_text_append(&file, part[i].bytes, part[i].n);
    }
    read_seed(folder_put("seed.dat", file.data, file.n));
    fl_text_clear(&file);
    hostile_kind = (hostile_row){"imatrix.dat", "imatrix.dat", NULL, open_imatrix};
    hostile_binary(seed, seed_bytes, at, (int)n_at, seed_bytes, 200);
}

/* ---- folders ---- */

static void put_chat_folder(void) {
    static const char *const names[] = {"config.json", "generation_config.json",
                                        "model.safetensors", "tokenizer.json",
                                        "tokenizer_config.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char from[80], to[80];
        snprintf(from, sizeof from, "chat/%s", names[i]);
        snprintf(to, sizeof to, "hf/%s", names[i]);
        copy_into_folder(from, to);
    }
}

static void try_folder(void) {
    static const char *const names[] = {"config.json", "tokenizer.json", "tokenizer_config.json"};
    for (int i = 0; i < 3; i++) {
        char file[80], source[80];
        put_chat_folder();
        snprintf(file, sizeof file, "hf/%s", names[i]);
        snprintf(source, sizeof source, "chat/%s", names[i]);
        hostile_kind = (hostile_row){file, "hf", "hf", open_model};
        hostile_json(data_file(source), hostile_as_it_is);
    }
}

/* A header with the length it has, before the data of the seed. */
static void with_length(const char *text, size_t n, const char *what, long detail) {
    uint64_t header;
    memcpy(&header, seed, sizeof header);
    fl_text all = {0};
    const uint64_t length = n;
    fl_text_append(&all, &length, sizeof length);
    fl_text_append(&all, text, n);
    fl_text_append(&all, seed + 8 + header, seed_bytes - 8 - (size_t)header);
    hostile_try(fl_text_str(&all), all.n, what, detail);
    fl_text_clear(&all);
}

static void try_safetensors(void) {
    const size_t at[] = {0};
    uint64_t header;
    read_seed(data_file("format/five.safetensors"));
    memcpy(&header, seed, sizeof header);
    char json[FL_PATH_MAX];
    snprintf(json, sizeof json, "%s", folder_put("header.json", seed + 8, (size_t)header));
    hostile_kind = (hostile_row){"t.safetensors", "t.safetensors", NULL, open_safetensors};
    hostile_binary(seed, seed_bytes, at, 1, 8 + (size_t)header, 400);
    hostile_json(json, with_length);
}

static void try_index(void) {
    const char *index = folder_puts("index.json",
                                    "{\"metadata\": {\"total_size\": 9}, \"weight_map\": "
                                    "{\"a\": \"t.safetensors\", \"b\": \"u.safetensors\"}}");
    copy_into_folder("format/five.safetensors", "sharded/t.safetensors");
    hostile_kind = (hostile_row){"sharded/model.safetensors.index.json", "sharded", "sharded",
                                 open_safetensors};
    hostile_json(index, hostile_as_it_is);
    static const char *const names[] =
        {"../hf/model.safetensors", "/etc/passwd", "..", ".", "sharded", "t.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[200];
        int n = snprintf(text, sizeof text, "{\"weight_map\": {\"a\": \"%s\"}}", names[i]);
        hostile_try(text, (size_t)n, names[i], 0);
    }
}

static void try_adapter(void) {
    copy_into_folder("golden/lora_gpt2/adapter_model.safetensors",
                     "peft/adapter_model.safetensors");
    hostile_kind = (hostile_row){"peft/adapter_config.json", NULL, "peft", open_adapter};
    hostile_json(data_file("golden/lora_gpt2/adapter_config.json"), hostile_as_it_is);
    copy_into_folder("golden/lora_gpt2/adapter_config.json", "peft/adapter_config.json");
    read_seed(data_file("golden/lora_gpt2/adapter_model.safetensors"));
    hostile_kind.file = "peft/adapter_model.safetensors";
    hostile_binary(seed, seed_bytes, NULL, 0, 1200, 60);
}

/* ---- tokenizers ---- */

static void try_tokenizers(void) {
    static const struct {
        const char *source, *file;
    } binary[] = {{"token/kinds/spm_bpe.model", "bpe.model"},
                  {"token/kinds/spm_unigram.model", "unigram.model"},
                  {"token/small.tiktoken", "small.tiktoken"}},
      json[] = {{"token/kinds/hf_parts.json", "parts/tokenizer.json"},
                {"token/kinds/hf_unigram.json", "unigram/tokenizer.json"},
                {"token/kinds/hf_wordpiece.json", "wordpiece/tokenizer.json"},
                {"token/kinds/hf_llama.json", "llama/tokenizer.json"}};
    for (int i = 0; i < 3; i++) {
        read_seed(data_file(binary[i].source));
        hostile_kind = (hostile_row){binary[i].file, binary[i].file, NULL, open_tokenizer};
        hostile_binary(seed, seed_bytes, NULL, 0, seed_bytes, 200);
    }
    for (int i = 0; i < 4; i++) {
        hostile_kind = (hostile_row){json[i].file, json[i].file, NULL, open_tokenizer};
        copy_into_folder(json[i].source, json[i].file);
        hostile_json(data_file(json[i].source), hostile_as_it_is);
    }
}

/* ---- programs: templates, grammars, schemas ---- */

static void expect_refusal(const char *text) {
    const int before = hostile_refused;
    hostile_try(text, strlen(text), text, 0);
    CHECKF(hostile_refused == before + 1, "%s: accepted: %.60s", hostile_kind.file, text);
}

/* `open` n times, `middle`, `close` n times. */
static void expect_nested(const char *open, const char *middle, const char *close, int n) {
    fl_text text = {0};
    for (int i = 0; i < n; i++) fl_text_puts(&text, open);
    fl_text_puts(&text, middle);
    for (int i = 0; i < n; i++) fl_text_puts(&text, close);
    hostile_try(fl_text_str(&text), text.n, open, n);
    fl_text_clear(&text);
}

static void try_templates(void) {
    static const char *const bombs[] = {
        "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
        "{{ 'a' * 1000000000 }}",
        ("{% set ns = namespace(s='a') %}{% for i in range(64) %}{% set ns.s = ns.s + ns.s %}"
         "{% endfor %}"),
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ range(9223372036854775807) | list }}",
        "{% set x = [] %}{% set x = x + [x] %}{{ x * 99999999 }}",
        "{{ messages[0]['content'][9223372036854775807:] * -1 }}{{ 1 // 0 }}",
        "{{ 9223372036854775807 + 1 }}{{ -9223372036854775808 // -1 }}{{ 1 % 0 }}",
        "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
        "{{ messages.__class__.__mro__ }}",
        "{% include '/etc/passwd' %}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 'x'.center(2000000000) }}",
        "{{ 'a'.replace('', 'b' * 100000) * 100000 }}",
    };
    read_seed(data_file("template/qwen2.5-7b-instruct.jinja"));
    hostile_kind = (hostile_row){"t.jinja", NULL, NULL, open_template};
    hostile_binary(seed, seed_bytes, NULL, 0, seed_bytes, 600);
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) expect_refusal(bombs[i]);
    expect_nested("{% if a %}", "x", "{% endif %}", 20000);
    expect_nested("{{ (", "1", ") }}", 20000);
    expect_nested("{{ ", "[[[[", " }}", 20000);
    expect_nested("(", "1", ")", 20000);
    expect_nested("{{ -", "1", "}}", 20000);
}

static void try_grammars(void) {
    static const char text[] =
        "root ::= object | [0-9]+ \"x\"{2,5}\nobject ::= \"{\" ws (\"a\" | [^\\x00-\\x1f]) \"}\"\n"
        "ws ::= [ \\t\\n]*\n";
    static const char *const bombs[] = {"root ::= root",
                                        "root ::= a\na ::= b\nb ::= a",
                                        "root ::= \"x\"{1000000000}",
                                        "root ::= ((\"a\"{9999}){9999}){9999}",
                                        "root ::= [\\U0010FFFF-\\x00]",
                                        "root ::= \"\\U7FFFFFFF\"",
                                        "root ::= x",
                                        "a ::= \"x\"",
                                        "root ::= \"a\"{5,2}"};
    hostile_kind = (hostile_row){"g.gbnf", NULL, NULL, open_grammar};
    hostile_binary((const uint8_t *)text, sizeof text - 1, NULL, 0, sizeof text - 1, 600);
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) expect_refusal(bombs[i]);
    expect_nested("root ::= (", "\"a\"", ")", 1);
    expect_nested("(", "\"a\"", ")", 100000);
    fl_text deep = {0};
    fl_text_puts(&deep, "root ::= ");
    for (int i = 0; i < 100000; i++) fl_text_puts(&deep, "(");
    expect_refusal(fl_text_str(&deep));
    fl_text_clear(&deep);
}

static void try_schemas(void) {
    static const char *const bombs[] =
        {"{\"$ref\": \"#\"}",
         ("{\"$ref\": \"#/$defs/a\", \"$defs\": {\"a\": {\"$ref\": \"#/$defs/b\"}, "
          "\"b\": {\"$ref\": \"#/$defs/a\"}}}"),
         "{\"type\": \"string\", \"minLength\": 1000000000000}",
         "{\"type\": \"string\", \"pattern\": \"^((a{1000}){1000}){1000}$\"}",
         "{\"type\": \"integer\", \"minimum\": 5, \"maximum\": 2}",
         "{\"$ref\": \"http://example.org/schema\"}",
         "{\"$ref\": \"#/a/b/c\"}",
         "{\"type\": \"array\", \"minItems\": 9223372036854775807, \"items\": {}}"};
    const char *whole = folder_puts(
        "schema-seed.json",
        "{\"type\": \"object\", \"properties\": {\"name\": {\"type\": \"string\", \"minLength\": "
        "1, "
        "\"maxLength\": 5, \"pattern\": \"^[a-z]+$\"}, \"age\": {\"type\": \"integer\", "
        "\"minimum\": 0, \"maximum\": 120}, \"tags\": {\"type\": \"array\", \"items\": {\"enum\": "
        "[\"a\", 1, null]}, \"minItems\": 1, \"maxItems\": 3}, \"any\": {\"anyOf\": [{\"const\": "
        "3}, {\"$ref\": \"#/$defs/x\"}]}}, \"required\": [\"name\"], \"additionalProperties\": "
        "false, \"$defs\": {\"x\": {\"type\": [\"null\", \"boolean\"]}}}");
    hostile_kind = (hostile_row){"s.json", NULL, NULL, open_schema};
    hostile_json(whole, hostile_as_it_is);
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) expect_refusal(bombs[i]);
}

/* ---- prompt caches ---- */

static void try_caches(void) {
    const size_t at[] = {8, 12, 16, 48, 52};  // version, count, identity, padding, first id
    fl_model *m = NULL;
    int64_t reused;
    CHECK(fl_model_load(&m, data_file("chat"), &(fl_model_opts){.as_stored = true}, NULL) == FL_OK);
    CHECK(fl_session_new(&session, m, &(fl_session_opts){.context = 32}, NULL) == FL_OK);
    CHECK(fl_prompt_cache_use(session, folder_file("seed.cache"), prompt, N_PROMPT, &reused,
                              NULL) == FL_OK);
    read_seed(folder_file("seed.cache"));
    hostile_kind = (hostile_row){"p.cache", "p.cache", NULL, open_cache};
    hostile_binary(seed, seed_bytes, at, sizeof at / sizeof *at, seed_bytes, 60);
    fl_session_free(session);
    fl_model_free(m);
}

static void try_chats(void) {
    static const char text[] =
        "{\"messages\": [{\"role\": \"system\", \"content\": \"S\"}, {\"role\": \"user\","
        " \"content\": \"A<|im_end|>\"}, {\"role\": \"assistant\", \"content\": \"B\","
        " \"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": {\"x\": 1}}}]}]}";
    const int accepted = hostile_accepted;
    fl_model *m = NULL;
    CHECK(fl_model_load(&m, data_file("chat"), &(fl_model_opts){.as_stored = true}, NULL) == FL_OK);
    CHECK(fl_session_new(&session, m, &(fl_session_opts){.context = 128}, NULL) == FL_OK);
    CHECK(fl_chat_new(&chat, session, &(fl_chat_opts){0}, NULL) == FL_OK);
    hostile_kind = (hostile_row){"saved.json", "saved.json", NULL, open_chat};
    hostile_json(folder_puts("chat_seed.json", text), hostile_as_it_is);
    read_seed(folder_file("chat_seed.json"));
    hostile_binary(seed, seed_bytes, NULL, 0, seed_bytes, 200);
    expect_nested("[", "", "]", 100000);
    CHECK(hostile_accepted > accepted);
    fl_chat_free(chat);
    fl_session_free(session);
    fl_model_free(m);
}

static void try_kind(const char *name, void (*run)(void)) {
    const int refused = hostile_refused, accepted = hostile_accepted;
    const clock_t begin = clock();
    hostile_slowest = 0;
    run();
    printf("%-12s %5d refused, %5d accepted, %.2f s, slowest %.3f s\n", name,
           hostile_refused - refused, hostile_accepted - accepted,
           (double)(clock() - begin) / CLOCKS_PER_SEC, hostile_slowest);
}

int main(void) {
    folder_make();
    hostile_limit_memory();
    try_kind("gguf", try_gguf);
    try_kind("imatrix", try_imatrix);
    try_kind("imatrix.dat", try_old_imatrix);
    try_kind("folder", try_folder);
    try_kind("safetensors", try_safetensors);
    try_kind("index", try_index);
    try_kind("adapter", try_adapter);
    try_kind("tokenizer", try_tokenizers);
    try_kind("cache", try_caches);
    try_kind("chat", try_chats);
    try_kind("template", try_templates);
    try_kind("grammar", try_grammars);
    try_kind("schema", try_schemas);
    CHECKF(hostile_refused >= 500, "%d refused", hostile_refused);
    printf("%d malformed inputs refused, %d spoilt ones accepted\n", hostile_refused,
           hostile_accepted);
    fl_dealloc(seed);
    folder_remove();
    return check_report();
}
