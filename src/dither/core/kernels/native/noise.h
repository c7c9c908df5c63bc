/* What the callers and the kernels of every instruction set share. */
#ifndef DITHER_NOISE_H
#define DITHER_NOISE_H

#include <stdint.h>

/* For loops whose iterations do not depend on each other, though one array may be written in place; and for
 * loops over vectors that have to stay in registers. */
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define INDEPENDENT _Pragma("GCC ivdep")
#define UNROLLED _Pragma("GCC unroll 32")
#endif

/* For loops that are faster with all registers to themselves. */
#define ALONE __attribute__((noinline))

enum { TOTAL_LIMBS = 12, SQUARE_LIMBS = 20, MAX_DIMS = 8 };
enum { SPAN = 512 };      /* elements that a kernel works on at a time: its buffers stay in the first cache */
enum { CHUNK = 1 << 16 }; /* elements that a thread takes at a time */

enum Dtype { FLOAT32 = 0, BFLOAT16 = 1, FLOAT16 = 2, FLOAT64 = 3 };
enum Law { UNIFORM = 0, GAUSSIAN = 1 };
enum Purpose { NOISE = 0, ROUNDING = 1 };
enum Flag { KEEP_ZEROS = 1, STOCHASTIC = 2, IDLE = 4, MAGNITUDE = 8 };

/* A view of the elements of a tensor; strides count elements and are read where it is not contiguous. */
typedef struct {
    char *data;
    int64_t stride[MAX_DIMS];
    int32_t dtype;
    int32_t contiguous;
} View;

/* One tensor and what to do to it. Fields that a kernel does not read may hold anything. */
typedef struct {
    View weight, gradient, average;
    int64_t size[MAX_DIMS];
    int64_t count;    /* elements */
    int64_t offset;   /* row-major index of the first one in the logical tensor */
    int64_t run;      /* elements that are neighbours there; 0: all of them (core/places.py) */
    int64_t row_size[MAX_DIMS], row_stride[MAX_DIMS]; /* how the runs are repeated, the outermost first */
    uint32_t key[2];
    uint32_t step;
    int32_t dims;
    int32_t rows;     /* how many of row_size and row_stride count */
    int32_t law;
    int32_t flags;
    float scale;      /* of the noise; 0: none */
    float mean;       /* of the sensitivity, at the step before; 0: none yet */
    float beta, rest; /* rest = 1 - beta, rounded from float64 */
    float gamma;
} Job;

/* Exact sums in limbs of 32 bits: see core/statistics.py. */
typedef struct {
    int64_t total[TOTAL_LIMBS];
    int64_t squares[SQUARE_LIMBS];
    int64_t nonfinite;
    int64_t active;
} Sums;

/* What writing noise did. */
typedef struct {
    double elements, changed, energy, requested;
} Change;

/* The next span in memory, of up to three tensors. Asked for in small portions between the computations of this
 * one, it is there when they are done; a kernel that works on spans one by one would have to wait otherwise. */
typedef struct {
    const char *stream[3];
    int streams, lines; /* lines of 64 bytes that are still to be asked for, of each */
} Ahead;

enum { PORTION = 8 };

static inline void look_ahead(Ahead *ahead) {
    if (ahead->lines <= 0) return;
    for (int k = 0; k < ahead->streams; k++) {
        for (int line = 0; line < PORTION; line++) __builtin_prefetch(ahead->stream[k] + 64 * line, 0, 3);
        ahead->stream[k] += 64 * PORTION;
    }
    ahead->lines -= PORTION;
}

/* What a thread does to the elements [at, at + n) of a job, in the order of their indices. */
typedef void Kernel(const Job *job, int64_t at, int64_t n, Sums *sums, Change *change);

typedef struct {
    Kernel *moments, *perturb, *sensitivity;
    const char *name;
} Kernels;

/* Adds value * 2^shift to limbs. */
static inline void add_shifted(int64_t *limbs, int64_t value, int shift) {
    __int128 wide = (__int128)value * ((int64_t)1 << (shift & 31));
    int64_t *limb = limbs + (shift >> 5);
    limb[0] += (uint32_t)wide;
    limb[1] += (uint32_t)(wide >> 32);
    limb[2] += (int64_t)(wide >> 64);
}

#endif
