// intnet_kernels.c - products of unsigned activations and signed weights, one kernel per instruction set.
//
// AVX2 has pair sums in 16 bits: with weights of at most 15 and activations of at most 255 a pair is at most 7,650, so
// the instruction never saturates and `inner` results fit in 16 bits before they are widened [QAT 7.1]; 8-bit weights
// go through 16-bit numbers. VNNI adds four products into 32 bits directly.
#include "quant/intnet_impl.h"

void lti_int_layout(const int8_t *rows, int64_t k, int64_t kp, int8_t *out)
{
    for (int64_t b = 0; b < (k + LTI_INT_LANES - 1) / LTI_INT_LANES; b++)
        for (int64_t q = 0; q < kp; q++)
            for (int64_t j = 0; j < LTI_INT_LANES; j++) {
                const int64_t row = b * LTI_INT_LANES + j;
                out[((b * (kp / 4) + q / 4) * LTI_INT_LANES + j) * 4 + q % 4] = row < k ? rows[row * kp + q] : 0;
            }
}

// Channels of a block that exist.
static int block_channels(int64_t k, int64_t b)
{
    const int64_t left = k - b * LTI_INT_LANES;
    return (int)(left < LTI_INT_LANES ? left : LTI_INT_LANES);
}

static void gemm_c(const uint8_t *a, int64_t n, const int8_t *w, int64_t k, int64_t kp, int inner, int32_t *acc)
{
    (void)inner;
    for (int64_t b = 0; b * LTI_INT_LANES < k; b++)
        for (int64_t i = 0; i < n; i++) {
            int32_t sum[LTI_INT_LANES] = {0};
            const int8_t *v = w + b * kp * LTI_INT_LANES;
            for (int64_t q = 0; q < kp; q++)
                for (int j = 0; j < LTI_INT_LANES; j++)
                    sum[j] += a[i * kp + q] * v[(q / 4 * LTI_INT_LANES + j) * 4 + q % 4];
            for (int j = 0; j < block_channels(k, b); j++)
                acc[i * k + b * LTI_INT_LANES + j] = sum[j];
        }
}

// The loops that all instruction sets share, compiled once for each.
#define ADD_TERM(name, target)                                                                                         \
    target static void name(int64_t *restrict sum, const int32_t *restrict acc, const int32_t *restrict mul,           \
                            int64_t n, int64_t k)                                                                      \
    {                                                                                                                  \
        for (int64_t i = 0; i < n; i++)                                                                                \
            for (int64_t j = 0; j < k; j++)                                                                            \
                sum[i * k + j] += (int64_t)mul[j] * acc[i * k + j];                                                    \
    }
#define FINISH(name, target)                                                                                           \
    target static void name(const int64_t *restrict sum, int64_t n, int shift, int64_t top, uint8_t *restrict out)     \
    {                                                                                                                  \
        for (int64_t i = 0; i < n; i++) {                                                                              \
            int64_t v = sum[i] >> shift;                                                                               \
            v = v < 0 ? 0 : v;                                                                                         \
            out[i] = (uint8_t)(v > top ? top : v);                                                                     \
        }                                                                                                              \
    }
ADD_TERM(add_term_c, )
FINISH(finish_c, )

const lti_int_kernel lti_int_kernel_c = {.name = "c", .gemm = gemm_c, .add_term = add_term_c, .finish = finish_c};

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#include <string.h>
#define AVX2 __attribute__((target("avx2")))
#define VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
ADD_TERM(add_term_avx2, AVX2)
FINISH(finish_avx2, AVX2)
ADD_TERM(add_term_vnni, VNNI)
FINISH(finish_vnni, VNNI)

static inline int32_t four_bytes(const uint8_t *a)
{
    int32_t v;
    memcpy(&v, a, sizeof v);
    return v;
}

// rows (at most 4) places by 16 channels: pair sums in 16 bits, widened after `inner` of them.
AVX2 static inline __attribute__((always_inline)) void tile_avx2(const uint8_t *a, const int8_t *w, int64_t kp,
                                                                 int inner, int rows, int32_t out[4][LTI_INT_LANES])
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i wide[4][2];
    for (int i = 0; i < rows; i++)
        wide[i][0] = wide[i][1] = _mm256_setzero_si256();
    for (int64_t q = 0; q < kp;) {
        __m256i narrow[4][2];
        const int64_t end = q + 4 * (int64_t)inner < kp ? q + 4 * (int64_t)inner : kp;
        for (int i = 0; i < rows; i++)
            narrow[i][0] = narrow[i][1] = _mm256_setzero_si256();
        for (; q < end; q += 4) {
            const __m256i v0 = _mm256_loadu_si256((const __m256i *)(const void *)(w + q * LTI_INT_LANES));
            const __m256i v1 = _mm256_loadu_si256((const __m256i *)(const void *)(w + q * LTI_INT_LANES + 32));
            for (int i = 0; i < rows; i++) {
                const __m256i x = _mm256_set1_epi32(four_bytes(a + i * kp + q));
                narrow[i][0] = _mm256_add_epi16(narrow[i][0], _mm256_maddubs_epi16(x, v0));
                narrow[i][1] = _mm256_add_epi16(narrow[i][1], _mm256_maddubs_epi16(x, v1));
            }
        }
        for (int i = 0; i < rows; i++)
            for (int h = 0; h < 2; h++)
                wide[i][h] = _mm256_add_epi32(wide[i][h], _mm256_madd_epi16(narrow[i][h], ones));
    }
    for (int i = 0; i < rows; i++)
        for (int h = 0; h < 2; h++)
            _mm256_storeu_si256((__m256i *)(void *)(out[i] + 8 * h), wide[i][h]);
}

// Pair sums that pass 16 bits: products of 16-bit numbers, four channels a register.
AVX2 static void row_avx2_8bit(const uint8_t *a, const int8_t *w, int64_t kp, int32_t out[LTI_INT_LANES])
{
    __m256i pair[4];
    for (int j = 0; j < 4; j++)
        pair[j] = _mm256_setzero_si256();
    for (int64_t q = 0; q < kp; q += 4) {
        const __m256i x = _mm256_broadcastq_epi64(_mm_cvtepu8_epi16(_mm_cvtsi32_si128(four_bytes(a + q))));
        for (int j = 0; j < 4; j++) {
            const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(w + q * LTI_INT_LANES + 16 * j));
            pair[j] = _mm256_add_epi32(pair[j], _mm256_madd_epi16(x, _mm256_cvtepi8_epi16(v)));
        }
    }
    for (int h = 0; h < 2; h++) { // sums of neighbours; hadd leaves channels 0 1 4 5 2 3 6 7
        const __m256i s = _mm256_permute4x64_epi64(_mm256_hadd_epi32(pair[2 * h], pair[2 * h + 1]), 0xd8);
        _mm256_storeu_si256((__m256i *)(void *)(out + 8 * h), s);
    }
}

AVX2 static void gemm_avx2_8bit(const uint8_t *a, int64_t n, const int8_t *w, int64_t k, int64_t kp, int32_t *acc)
{
    for (int64_t b = 0; b * LTI_INT_LANES < k; b++)
        for (int64_t i = 0; i < n; i++) {
            int32_t out[LTI_INT_LANES];
            row_avx2_8bit(a + i * kp, w + b * kp * LTI_INT_LANES, kp, out);
            memcpy(acc + i * k + b * LTI_INT_LANES, out, (size_t)block_channels(k, b) * sizeof *out);
        }
}

AVX2 static void gemm_avx2(const uint8_t *a, int64_t n, const int8_t *w, int64_t k, int64_t kp, int inner, int32_t *acc)
{
    if (inner < 1) {
        gemm_avx2_8bit(a, n, w, k, kp, acc);
        return;
    }
    for (int64_t b = 0; b * LTI_INT_LANES < k; b++)
        for (int64_t i = 0; i < n; i += 4) {
            int32_t out[4][LTI_INT_LANES];
            const int rows = n - i < 4 ? (int)(n - i) : 4;
            if (rows == 4)
                tile_avx2(a + i * kp, w + b * kp * LTI_INT_LANES, kp, inner, 4, out);
            else
                for (int r = 0; r < rows; r++)
                    tile_avx2(a + (i + r) * kp, w + b * kp * LTI_INT_LANES, kp, inner, 1, out + r);
            for (int r = 0; r < rows; r++)
                memcpy(acc + (i + r) * k + b * LTI_INT_LANES, out[r], (size_t)block_channels(k, b) * sizeof **out);
        }
}

const lti_int_kernel lti_int_kernel_avx2 = {
    .name = "avx2", .gemm = gemm_avx2, .add_term = add_term_avx2, .finish = finish_avx2, .conv = lti_int_conv_avx2};

// rows (at most 8) places by 16 channels, four products an instruction and lane.
VNNI static inline __attribute__((always_inline)) void tile_vnni(const uint8_t *a, const int8_t *w, int64_t kp,
                                                                 int rows, __mmask16 mask, int32_t *acc, int64_t stride)
{
    __m512i s[8];
    for (int i = 0; i < rows; i++)
        s[i] = _mm512_setzero_si512();
    for (int64_t q = 0; q < kp; q += 4) {
        const __m512i v = _mm512_loadu_si512(w + q * LTI_INT_LANES);
        for (int i = 0; i < rows; i++)
            s[i] = _mm512_dpbusd_epi32(s[i], _mm512_set1_epi32(four_bytes(a + i * kp + q)), v);
    }
    for (int i = 0; i < rows; i++)
        _mm512_mask_storeu_epi32(acc + i * stride, mask, s[i]);
}

VNNI static void gemm_vnni(const uint8_t *a, int64_t n, const int8_t *w, int64_t k, int64_t kp, int inner, int32_t *acc)
{
    (void)inner;
    for (int64_t b = 0; b * LTI_INT_LANES < k; b++) {
        const __mmask16 mask = (__mmask16)((1u << block_channels(k, b)) - 1);
        const int8_t *v = w + b * kp * LTI_INT_LANES;
        int32_t *to = acc + b * LTI_INT_LANES;
        int64_t i = 0;
        for (; i + 8 <= n; i += 8)
            tile_vnni(a + i * kp, v, kp, 8, mask, to + i * k, k);
        for (; i < n; i++)
            tile_vnni(a + i * kp, v, kp, 1, mask, to + i * k, k);
    }
}

const lti_int_kernel lti_int_kernel_vnni = {.name = "avx512-vnni",
                                            .gemm = gemm_vnni,
                                            .add_term = add_term_vnni,
                                            .finish = finish_vnni,
                                            .conv = lti_int_conv_vnni};
#else
const lti_int_kernel lti_int_kernel_avx2 = {.name = "avx2", .gemm = gemm_c, .add_term = add_term_c, .finish = finish_c};
const lti_int_kernel lti_int_kernel_vnni = {
    .name = "avx512-vnni", .gemm = gemm_c, .add_term = add_term_c, .finish = finish_c};
#endif

void lti_int_pack(const uint8_t *codes, int64_t n, int bits, uint8_t *out)
{
    for (int64_t i = 0; i < lti_packed_bytes(n, bits); i++)
        out[i] = 0;
    for (int64_t i = 0; i < n; i++)
        for (int b = 0; b < bits; b++) {
            const int64_t at = i * bits + b;
            out[at / 8] = (uint8_t)(out[at / 8] | (codes[i] >> b & 1) << at % 8);
        }
}

void lti_int_unpack(const uint8_t *packed, int64_t n, int bits, uint8_t *codes)
{
    for (int64_t i = 0; i < n; i++) {
        int v = 0;
        for (int b = 0; b < bits; b++) {
            const int64_t at = i * bits + b;
            v |= (packed[at / 8] >> at % 8 & 1) << b;
        }
        codes[i] = (uint8_t)v;
    }
}
