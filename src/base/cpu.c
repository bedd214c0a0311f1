/* cpu - asks the processor, the kernel and the container what this process may use.
 *
 * An instruction set counts only if the kernel saves its registers (XCR0), and AMX only once the
 * kernel has granted this process the tile state: Linux does so on request, for the process and the
 * threads it starts. */
#define _GNU_SOURCE
#include "base/cpu.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#endif

static fl_cpu cpu;
static pthread_once_t once = PTHREAD_ONCE_INIT;

#if defined(__x86_64__)

enum { XCR0_AVX = 0x6, XCR0_AVX512 = 0xe6, XCR0_TILES = 0x60000 };

static uint64_t xcr0(void) {
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static bool grant_tiles(void) {
#if defined(__linux__)
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
#else
    return false;
#endif
}

static bool has(uint32_t reg, int bit) {
    return reg >> bit & 1;
}

static void find_isa(fl_cpu *c) {
    uint32_t a, b, cx, d;
    if (!__get_cpuid(1, &a, &b, &cx, &d)) return;
    bool fma_f16c = has(cx, 12) && has(cx, 29);
    uint64_t saved = has(cx, 27) ? xcr0() : 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &cx, &d)) return;
    bool zmm = (saved & XCR0_AVX512) == XCR0_AVX512;
    c->avx2 = (saved & XCR0_AVX) == XCR0_AVX && fma_f16c && has(b, 5);
    c->avx512 = c->avx2 && zmm && has(b, 16) && has(b, 17) && has(b, 30) && has(b, 31);
    c->avx512_vnni = c->avx512 && has(cx, 11);
    bool tiles = (saved & XCR0_TILES) == XCR0_TILES && has(d, 22) && has(d, 24);
    c->amx_bf16 = c->avx512 && tiles && grant_tiles();
    if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &cx, &d)) c->avx512_bf16 = c->avx512 && has(a, 5);
}

static void find_name(fl_cpu *c) {
    uint32_t r[12];
    for (uint32_t i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002 + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3]))
            return;
    char brand[sizeof r + 1] = {0};
    memcpy(brand, r, sizeof r);
    const char *start = brand + strspn(brand, " ");
    snprintf(c->name, sizeof c->name, "%s", start);
}

#else

static void find_isa(fl_cpu *c) {
    (void)c;
}
static void find_name(fl_cpu *c) {
    (void)c;
}

#endif

/* A container's share of the processors (cgroup v2), or 0: "200000 100000" is two. */
static int cgroup_cores(void) {
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!f) return 0;
    double quota = 0, period = 0;
    int got = fscanf(f, "%lf %lf", &quota, &period);  // "max 100000" gives 0
    fclose(f);
    if (got != 2 || period <= 0) return 0;
    return quota < period ? 1 : (int)(quota / period);
}

static int find_cores(void) {
    int n = (int)sysconf(_SC_NPROCESSORS_ONLN);
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
#endif
    int share = cgroup_cores();
    if (share && share < n) n = share;
    return n < 1 ? 1 : n;
}

static size_t cache_bytes(int name) {
    long n = sysconf(name);
    return n > 0 ? (size_t)n : 0;
}

static void find(void) {
    find_isa(&cpu);
    find_name(&cpu);
    if (!cpu.name[0]) snprintf(cpu.name, sizeof cpu.name, "unknown processor");
    cpu.cores = find_cores();
#if defined(_SC_LEVEL1_DCACHE_SIZE)
    cpu.l1_bytes = cache_bytes(_SC_LEVEL1_DCACHE_SIZE);
    cpu.l2_bytes = cache_bytes(_SC_LEVEL2_CACHE_SIZE);
    cpu.l3_bytes = cache_bytes(_SC_LEVEL3_CACHE_SIZE);
#endif
}

const fl_cpu *fl_cpu_get(void) {
    pthread_once(&once, find);
    return &cpu;
}
