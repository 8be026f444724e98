// intnet_kernels.c - products of unsigned activations and signed weights, one kernel per instruction set.
//
// AVX2 has pair sums in 16 bits: with weights of at most 15 and activations of at most 255 a pair is at most 7,650, so
// the instruction never saturates and `inner` results fit in 16 bits before they are widened [QAT 7.1]. VNNI adds four
// products into 32 bits directly.
#include "quant/intnet_impl.h"

static void gemm_c(const uint8_t *a, int64_t n, const int8_t *w, int64_t k, int64_t kp, int inner, int32_t *acc)
{
    (void)inner;
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < k; j++) {
            int32_t sum = 0;
            for (int64_t q = 0; q < kp; q++)
                sum += a[i * kp + q] * w[j * kp + q];
            acc[i * k + j] = sum;
        }
}

const lti_int_kernel lti_int_kernel_c = {.name = "c", .gemm = gemm_c, .exact8 = true};

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

__attribute__((target("avx2"))) static int32_t sum8(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

// One row of activations by four rows of weights.
__attribute__((target("avx2"))) static void dot4_avx2(const uint8_t *a, const int8_t *w, int64_t kp, int inner,
                                                      int32_t *acc)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i wide[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
    for (int64_t q = 0; q < kp;) {
        __m256i narrow[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                             _mm256_setzero_si256()};
        const int64_t end = q + 32 * (int64_t)inner < kp ? q + 32 * (int64_t)inner : kp;
        for (; q < end; q += 32) {
            const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)(a + q));
            for (int j = 0; j < 4; j++)
                narrow[j] = _mm256_add_epi16(
                    narrow[j],
                    _mm256_maddubs_epi16(x, _mm256_loadu_si256((const __m256i *)(const void *)(w + j * kp + q))));
        }
        for (int j = 0; j < 4; j++)
            wide[j] = _mm256_add_epi32(wide[j], _mm256_madd_epi16(narrow[j], ones));
    }
    for (int j = 0; j < 4; j++)
        acc[j] = sum8(wide[j]);
}

__attribute__((target("avx2"))) static int32_t dot1_avx2(const uint8_t *a, const int8_t *w, int64_t kp)
{
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i wide = _mm256_setzero_si256();
    for (int64_t q = 0; q < kp; q += 32)
        wide = _mm256_add_epi32(
            wide, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(a + q)),
                                                         _mm256_loadu_si256((const __m256i *)(const void *)(w + q))),
                                    ones));
    return sum8(wide);
}

static void gemm_avx2(const uint8_t *a, int64_t n, const int8_t *w, int64_t k, int64_t kp, int inner, int32_t *acc)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t j = 0;
        for (; j + 4 <= k; j += 4)
            dot4_avx2(a + i * kp, w + j * kp, kp, inner, acc + i * k + j);
        for (; j < k; j++)
            acc[i * k + j] = dot1_avx2(a + i * kp, w + j * kp, kp);
    }
}

const lti_int_kernel lti_int_kernel_avx2 = {.name = "avx2", .gemm = gemm_avx2};

// Two rows of activations by four of weights: eight accumulators.
__attribute__((target("avx512f,avx512bw,avx512vnni"))) static void dot2x4(const uint8_t *a, const int8_t *w, int64_t kp,
                                                                          int32_t *acc, int64_t stride)
{
    __m512i s[2][4];
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 4; j++)
            s[i][j] = _mm512_setzero_si512();
    for (int64_t q = 0; q < kp; q += 64) {
        const __m512i x0 = _mm512_loadu_si512(a + q), x1 = _mm512_loadu_si512(a + kp + q);
        for (int j = 0; j < 4; j++) {
            const __m512i v = _mm512_loadu_si512(w + j * kp + q);
            s[0][j] = _mm512_dpbusd_epi32(s[0][j], x0, v);
            s[1][j] = _mm512_dpbusd_epi32(s[1][j], x1, v);
        }
    }
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 4; j++)
            acc[i * stride + j] = _mm512_reduce_add_epi32(s[i][j]);
}

__attribute__((target("avx512f,avx512bw,avx512vnni"))) static int32_t dot1_vnni(const uint8_t *a, const int8_t *w,
                                                                                int64_t kp)
{
    __m512i s = _mm512_setzero_si512();
    for (int64_t q = 0; q < kp; q += 64)
        s = _mm512_dpbusd_epi32(s, _mm512_loadu_si512(a + q), _mm512_loadu_si512(w + q));
    return _mm512_reduce_add_epi32(s);
}

static void gemm_vnni(const uint8_t *a, int64_t n, const int8_t *w, int64_t k, int64_t kp, int inner, int32_t *acc)
{
    (void)inner;
    for (int64_t i = 0; i < n; i += 2) {
        int64_t j = 0;
        for (; i + 2 <= n && j + 4 <= k; j += 4)
            dot2x4(a + i * kp, w + j * kp, kp, acc + i * k + j, k);
        for (int64_t e = i; e < n && e < i + 2; e++)
            for (int64_t q = j; q < k; q++)
                acc[e * k + q] = dot1_vnni(a + e * kp, w + q * kp, kp);
    }
}

const lti_int_kernel lti_int_kernel_vnni = {.name = "avx512-vnni", .gemm = gemm_vnni, .exact8 = true};
#else
const lti_int_kernel lti_int_kernel_avx2 = {.name = "avx2", .gemm = gemm_c, .exact8 = true};
const lti_int_kernel lti_int_kernel_vnni = {.name = "avx512-vnni", .gemm = gemm_c, .exact8 = true};
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
