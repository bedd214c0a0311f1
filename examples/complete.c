/* complete - continue a text with a model: complete MODEL PROMPT. Streams what it writes. */
#include <fledge/fledge.h>
#include <stdio.h>
#include <string.h>

static bool show(void *ctx, const fl_generated *g) {
    (void)ctx;
    fwrite(g->text, 1, g->n, stdout);
    return fflush(stdout) == 0;  // false stops: nobody reads on
}

static fl_status complete(const char *path, const char *prompt, fl_err *err) {
    fl_model *model = NULL;
    fl_session *session = NULL;
    const fl_generate_opts how = {.max_tokens = 200,
                                  .sampler = {.temperature = 0.8, .top_p = 0.95, .seed = 1},
                                  .emit = show};
    fl_generate_result result;

    fl_status s = fl_model_load(&model, path, &(fl_model_opts){.as_stored = true}, err);
    if (s == FL_OK) s = fl_session_new(&session, model, &(fl_session_opts){0}, err);
    if (s == FL_OK) s = fl_generate(session, prompt, strlen(prompt), &how, &result, err);
    if (s == FL_OK) printf("\n[%s]\n", fl_finish_name(result.finish));
    fl_session_free(session);
    fl_model_free(model);
    return s;
}

int main(int argc, char **argv) {
    fl_err err;
    if (argc != 3) {
        fprintf(stderr, "usage: %s MODEL PROMPT\n", argv[0]);
        return 2;
    }
    if (complete(argv[1], argv[2], &err) != FL_OK) {
        fprintf(stderr, "%s\n", err.msg);
        return 1;
    }
    return 0;
}
