/* Noise on many tensors at memory speed, on all cores: what core/kernels/native.py calls.
 *
 * Build: cc -O3 -std=gnu11 -fPIC -shared -pthread -ffp-contract=off native.c -o native.so -lm
 *
 * A thread takes chunks of a fixed size one after the other; sums are integers and a chunk's Change stands at
 * its own place, so the results do not depend on the number of threads. */

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "noise.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#define ISA 0
#define NAME(x) plain_##x
#if defined(__x86_64__)
#define ISA_NAME "x86-64"
#elif defined(__aarch64__)
#define ISA_NAME "aarch64"
#else
#define ISA_NAME "portable"
#endif
#include "kernels.inc"

#if defined(__x86_64__)
/* The same text again, compiled for wider vectors. */
#define AVX2_FEATURES "avx2,fma,f16c"
#define AVX512_FEATURES "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"
#define PRAGMA(x) _Pragma(#x)
#if defined(__clang__)
#define BEGIN(features) PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define END PRAGMA(clang attribute pop)
#else
#define BEGIN(features) PRAGMA(GCC push_options) PRAGMA(GCC target(features))
#define END PRAGMA(GCC pop_options)
#endif

BEGIN(AVX2_FEATURES)
#define ISA 2
#define NAME(x) avx2_##x
#define ISA_NAME "AVX2"
#include "kernels.inc"
END

BEGIN(AVX512_FEATURES)
#define ISA 512
#define NAME(x) avx512_##x
#define ISA_NAME "AVX-512"
#include "kernels.inc"
END
#endif

#if defined(__x86_64__)
/* Asked of the processor itself: not every compiler's own check works in a library that is loaded late. */
static int vector_bits(void) {
    unsigned a, b, c, d, low, high;
    const unsigned osxsave = 1u << 27, fma = 1u << 12, f16c = 1u << 29, avx2 = 1u << 5;
    const unsigned avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & (osxsave | fma | f16c)) != (osxsave | fma | f16c)) return 128;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & avx2)) return 128;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0)); /* what the system keeps of the registers */
    if ((low & 0x06) != 0x06) return 128;
    return (b & avx512) == avx512 && (low & 0xE6) == 0xE6 ? 512 : 256;
}
#endif

static const Kernels *kernels_for(const char *wanted) {
#if defined(__x86_64__)
    int bits = vector_bits();
    if (bits >= 512 && (!wanted || !strcmp(wanted, avx512_kernels.name))) return &avx512_kernels;
    if (bits >= 256 && (!wanted || !strcmp(wanted, avx2_kernels.name))) return &avx2_kernels;
#endif
    return !wanted || !strcmp(wanted, plain_kernels.name) ? &plain_kernels : NULL;
}

static const Kernels *chosen;

/* Choose the instruction set: the best that the processor has, or the one of this name. NULL: it has not. */
const char *dither_choose(const char *wanted) {
    const Kernels *found = kernels_for(wanted);
    if (found) chosen = found;
    return found ? found->name : NULL;
}

/* The sizes of the structures, for the caller to compare with its own. */
void dither_sizes(int64_t *sizes) {
    sizes[0] = sizeof(Job);
    sizes[1] = sizeof(Sums);
    sizes[2] = sizeof(Change);
}

typedef void Parallel(void (*function)(void *), void *argument, unsigned threads, unsigned flags);

enum { MOMENTS = 0, PERTURB = 1, SENSITIVITY = 2 };

typedef struct {
    const Job *jobs;
    const int64_t *first; /* number of the first chunk of each job, and their number */
    Sums *sums;           /* one a job */
    Change *changes;      /* one a chunk */
    Kernel *kernel;
    int64_t tensors;
    int64_t next;
} Work;

static void add_sums(Sums *to, const Sums *from) {
    const int64_t *source = (const int64_t *)from;
    int64_t *target = (int64_t *)to;
    for (size_t k = 0; k < sizeof(Sums) / sizeof(int64_t); k++)
        if (source[k]) __atomic_fetch_add(target + k, source[k], __ATOMIC_RELAXED);
}

/* Carry, so that each limb but the last lies in [0, 2^32); the last one has the sign. */
static void reduce(int64_t *limbs, int count) {
    for (int k = 0; k + 1 < count; k++) {
        limbs[k + 1] += limbs[k] >> 32;
        limbs[k] &= 0xFFFFFFFF;
    }
}

static void take_chunks(void *argument) {
    Work *work = argument;
    int64_t tensor = 0;
    Sums sums = {0};
    for (;;) {
        int64_t chunk = __atomic_fetch_add(&work->next, 1, __ATOMIC_RELAXED);
        if (chunk >= work->first[work->tensors]) break;
        if (chunk >= work->first[tensor + 1]) {
            add_sums(work->sums + tensor, &sums);
            sums = (Sums){0};
            while (chunk >= work->first[tensor + 1]) tensor++;
        }
        const Job *job = work->jobs + tensor;
        int64_t at = (chunk - work->first[tensor]) * CHUNK;
        int64_t size = job->count - at < CHUNK ? job->count - at : CHUNK;
        work->kernel(job, at, size, &sums, work->changes + chunk);
    }
    if (tensor < work->tensors) add_sums(work->sums + tensor, &sums);
}

static void *take_chunks_alone(void *argument) {
    take_chunks(argument);
    return NULL;
}

/* Let some threads do the work: those of torch's own OpenMP where the caller found its entry point (threads
 * that have just worked keep a core busy for a while, waiting for more, and others would have to share it),
 * else threads of our own. Fewer than asked for do, if there are no more. */
static void share(Work *work, int threads, Parallel *parallel) {
    if (threads > 1 && parallel) {
        parallel(take_chunks, work, (unsigned)threads, 0);
        return;
    }
    enum { MOST = 256 };
    pthread_t crew[MOST];
    int started = 0;
    for (; started + 1 < threads && started < MOST; started++)
        if (pthread_create(crew + started, NULL, take_chunks_alone, work)) break;
    take_chunks(work);
    for (int k = 0; k < started; k++) pthread_join(crew[k], NULL);
}

/* Do one thing to many tensors.
 *   what     MOMENTS, PERTURB or SENSITIVITY
 *   sums     one for each tensor, zeroed before
 *   changes  one for each tensor, written
 *   parallel GOMP_parallel of the OpenMP that torch uses, or NULL
 * Returns 0, or -1 where memory is short and nothing was done. */
int dither_run(int what, const Job *jobs, int64_t tensors, int threads, Sums *sums, Change *changes,
               Parallel *parallel) {
    if (!chosen) dither_choose(NULL);
    Work work = {.jobs = jobs, .sums = sums, .tensors = tensors};
    work.kernel = what == MOMENTS ? chosen->moments : what == PERTURB ? chosen->perturb : chosen->sensitivity;
    int64_t *first = malloc((tensors + 1) * sizeof *first);
    if (!first) return -1;
    first[0] = 0;
    for (int64_t t = 0; t < tensors; t++) first[t + 1] = first[t] + (jobs[t].count + CHUNK - 1) / CHUNK;
    work.first = first;
    int64_t chunks = first[tensors];
    work.changes = calloc(chunks + 1, sizeof *work.changes);
    if (threads > chunks) threads = (int)chunks;
    int failed = !work.changes;
    if (!failed && tensors > 0) {
        share(&work, threads, parallel);
        for (int64_t t = 0; t < tensors; t++) {
            Change sum = {0};
            for (int64_t c = first[t]; c < first[t + 1]; c++) {
                sum.elements += work.changes[c].elements;
                sum.changed += work.changes[c].changed;
                sum.energy += work.changes[c].energy;
                sum.requested += work.changes[c].requested;
            }
            changes[t] = sum;
            reduce(sums[t].total, TOTAL_LIMBS);
            reduce(sums[t].squares, SQUARE_LIMBS);
        }
    }
    free(work.changes);
    free(first);
    return failed ? -1 : 0;
}
