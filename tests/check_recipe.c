/* check_recipe - settings from files and flags: names, aliases, types, mistakes, and back to a
 * file; and what the dial makes of them. Catches: a silent unknown field, a default that does not
 * parse, a lost line number. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "folder.h"
#include "train/dial.h"

static fl_recipe *fresh(void) {
    fl_recipe *r = NULL;
    fl_err err = {0};
    CHECKF(fl_recipe_new(&r, &err) == FL_OK, "%s", err.msg);
    return r;
}

static void check_files(void) {
    fl_recipe *r = fresh();
    fl_err err = {0};
    const char *path = folder_puts(
        "a.yaml",
        "text: [one.txt, two.txt]\nlearning_rate: 3e-4\nper_device_train_batch_size: 4\n"
        "budget: 10m\nparams: 5M\nresume_from_checkpoint: true\nlr_scheduler: cosine\n"
        "tokens: null\n");
    CHECKF(fl_recipe_load(r, path, &err) == FL_OK, "%s", err.msg);
    CHECK(r->text.n == 2 && strcmp(r->text.item[1], "two.txt") == 0);
    CHECK(r->lr == 3e-4 && r->batch_size == 4 && r->budget == 600 && r->params == 5e6 && r->resume);
    CHECK(strcmp(r->schedule, "cosine") == 0 && isnan(r->tokens) && r->steps == FL_UNSET);
    CHECK(r->given[FL_SET_lr] && !r->given[FL_SET_steps]);
    const char *back = folder_file("b.yaml");
    CHECKF(fl_recipe_save(r, back, &err) == FL_OK, "%s", err.msg);
    fl_recipe *again = fresh();
    CHECKF(fl_recipe_load(again, back, &err) == FL_OK, "%s", err.msg);
    CHECK(again->lr == r->lr && again->budget == r->budget && again->text.n == 2 &&
          again->beta2 == 0.95);
    fl_recipe_free(again);
    fl_recipe_free(r);
}

static void check_mistakes(void) {
    static const struct {
        const char *yaml, *says;
    } cases[] = {
        {"lr: 1\nbatchsize: 4\n",
         ":2: batchsize: there is no such setting; did you mean batch-size?"},
        {"lr: fast\n", ":1: lr: fast: expected a number"},
        {"\n\nschedule: cosin\n",
         ":3: schedule: cosin: expected one of cosine|wsd|linear|constant"},
        {"resume: maybe\n", "expected true or false"},
        {"depth: 2.5\n", "expected an integer"},
        {"depth: [1, 2]\n", "expected an integer"},
        {"budget: soon\n", "expected a time such as 10m or 90s"},
        {"text: [[a]]\n", "text[0]: expected a string"},
        {"- 1\n", "expected fields"},
        {"zzzzzzzzzz: 1\n", "there is no such setting"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fl_recipe *r = fresh();
        fl_err err = {0};
        const char *path = folder_puts("bad.yaml", cases[i].yaml);
        CHECKF(fl_recipe_load(r, path, &err) != FL_OK && strstr(err.msg, cases[i].says),
               "'%s' said: %s", cases[i].yaml, err.msg);
        fl_recipe_free(r);
    }
}

static void check_sense(void) {
    static const char *const wrong[][4] = {{"depth", "0", NULL},
                                           {"depth", "4", "params", "5M"},
                                           {"budget", "9m", "epochs", "2"},
                                           {"steps", "9", "epochs", "2"},
                                           {"beta2", "1", NULL},
                                           {"val-fraction", "-1", NULL},
                                           {"vocab-size", "100", NULL}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fl_recipe *r = fresh();
        fl_err err = {0};
        CHECK(fl_recipe_set(r, wrong[i][0], wrong[i][1], "x", &err) == FL_OK);
        if (wrong[i][2]) CHECK(fl_recipe_set(r, wrong[i][2], wrong[i][3], "x", &err) == FL_OK);
        CHECKF(fl_recipe_check(r, &err) == FL_ERR_ARG, "%s %s", wrong[i][0], wrong[i][1]);
        fl_recipe_free(r);
    }
}

/* The recipe that a run with a budget leaves behind has both; it must be readable when the run is
 * resumed. */
static void check_budget(void) {
    fl_recipe *r = fresh();
    r->budget = 60;
    r->steps = 100;
    CHECK(fl_recipe_check(r, NULL) == FL_OK);
    fl_recipe_free(r);
}

static void check_dial(void) {
    fl_err err = {0};
    for (int64_t depth = 1; depth < 30; depth++) {
        fl_recipe *r = fresh();
        fl_train_opts o;
        fl_config c;
        r->depth = depth;
        r->vocab_size = 4096;
        CHECKF(fl_dial_model(r, &err) == FL_OK, "%s", err.msg);
        CHECKF(fl_recipe_config(r, -1, -1, &c, &err) == FL_OK, "%s", err.msg);
        fl_dial_run(r, (double)fl_config_count(&c), 1e6);
        CHECKF(fl_recipe_train_opts(r, &o, &err) == FL_OK, "%s", err.msg);
        CHECK(o.steps > 0 && o.batch_size > 0 && o.accumulation > 0 && o.optimizer.lr > 0 &&
              o.schedule.warmup < 1);
        CHECK(r->width % r->heads == 0);
        fl_config_clear(&c);
        fl_recipe_free(r);
    }
    fl_recipe *r = fresh();
    r->params = 5e6;
    r->vocab_size = 4096;
    fl_config c;
    CHECK(fl_dial_model(r, &err) == FL_OK && fl_recipe_config(r, -1, -1, &c, &err) == FL_OK);
    CHECKF(fabs(log((double)fl_config_count(&c) / 5e6)) < 0.35, "asked for 5M, got %g",
           (double)fl_config_count(&c));
    fl_config_clear(&c);
    fl_recipe_free(r);
    CHECK(fl_dial_vocab(1e3) == 512 && fl_dial_vocab(4e6) == 4096 && fl_dial_vocab(1e15) == 65536);
}

int main(void) {
    folder_make();
    check_files();
    check_mistakes();
    check_sense();
    check_budget();
    check_dial();
    folder_remove();
    return check_report();
}
