/* cmd_version - fledge version: what this program is and what it found here. */
#include "app/help.h"
#include "base/cpu.h"

static fl_status run(const app_args *a, fl_err *err) {
    (void)err;
    const fl_cpu *c = fl_cpu_get();
    if (app_bool(a, "json")) {
        printf("{\"version\": \"%s\"}\n", FL_VERSION);
        return FL_OK;
    }
    const char *isa = c->amx_bf16      ? "AVX-512, AMX bf16"
                      : c->avx512_bf16 ? "AVX-512, bf16"
                      : c->avx512      ? "AVX-512"
                      : c->avx2        ? "AVX2"
                                       : "portable C";
    printf("fledge %s\n", FL_VERSION);
    if (app_bool(a, "verbose")) printf("%s, %d cores, %s\n", c->name, c->cores, isa);
    return FL_OK;
}

const app_command cmd_version = {.name = "version", .summary = "print the version", .run = run};
