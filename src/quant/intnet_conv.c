// intnet_conv.c - convolutions of bytes whose sums become bytes while they are in registers: windows are read where
// they lie in a padded source, nothing is gathered and no sum is stored [QAT 7.1].
//
// All kernels give the integers of the plain path: exact 32-bit sums, one 64-bit product for each, one shift.
#include "quant/intnet_impl.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2")))
#define VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define INLINE static inline __attribute__((always_inline))

INLINE int32_t four_bytes(const uint8_t *a)
{
    int32_t v;
    memcpy(&v, a, sizeof v);
    return v;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// ---- AVX-512 with VNNI

// Sums of `places` windows and 16 * `blocks` channels.
VNNI INLINE void sum_vnni(const lti_int_conv *c, const uint8_t *x, const int8_t *w, int places, int blocks,
                          __m512i acc[8][2])
{
    for (int i = 0; i < places; i++)
        acc[i][0] = acc[i][1] = _mm512_setzero_si512();
    for (int64_t r = 0; r < c->r; r++, x += c->line, w += c->span * LTI_INT_LANES)
        for (int64_t q = 0; q < c->span; q += 4) {
            const __m512i v0 = _mm512_loadu_si512(w + q * LTI_INT_LANES);
            const __m512i v1 = blocks > 1 ? _mm512_loadu_si512(w + (c->kp + q) * LTI_INT_LANES) : v0;
            for (int i = 0; i < places; i++) {
                const __m512i a = _mm512_set1_epi32(four_bytes(x + i * c->step + q));
                acc[i][0] = _mm512_dpbusd_epi32(acc[i][0], a, v0);
                if (blocks > 1)
                    acc[i][1] = _mm512_dpbusd_epi32(acc[i][1], a, v1);
            }
        }
}

// 16 sums of one place to bytes.
VNNI INLINE void end_vnni(const lti_int_end *e, int64_t at, int64_t k, __mmask16 mask, __m512i acc)
{
    const __mmask8 low = (__mmask8)(mask & 0xff), high = (__mmask8)(mask >> 8);
    const __m512i m = _mm512_maskz_loadu_epi32(mask, e->mul + k);
    const int64_t *base = e->sum ? e->sum + at : e->add + k;
    __m512i s[2] = {_mm512_maskz_loadu_epi64(low, base), _mm512_maskz_loadu_epi64(high, base + 8)};
    s[0] = _mm512_add_epi64(s[0], _mm512_mul_epi32(_mm512_cvtepi32_epi64(_mm512_castsi512_si256(acc)),
                                                   _mm512_cvtepi32_epi64(_mm512_castsi512_si256(m))));
    s[1] = _mm512_add_epi64(s[1], _mm512_mul_epi32(_mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(acc, 1)),
                                                   _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(m, 1))));
    if (e->same) {
        const __m128i x = _mm_maskz_loadu_epi8(mask, e->same + at);
        const __m512i n = _mm512_maskz_loadu_epi32(mask, e->same_mul + k);
        s[0] = _mm512_add_epi64(
            s[0], _mm512_mul_epi32(_mm512_cvtepu8_epi64(x), _mm512_cvtepi32_epi64(_mm512_castsi512_si256(n))));
        s[1] = _mm512_add_epi64(s[1], _mm512_mul_epi32(_mm512_cvtepu8_epi64(_mm_srli_si128(x, 8)),
                                                       _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(n, 1))));
    }
    __m128i out[2];
    for (int i = 0; i < 2; i++) {
        s[i] = _mm512_sra_epi64(s[i], _mm_cvtsi32_si128(e->shift));
        s[i] = _mm512_max_epi64(s[i], _mm512_setzero_si512());
        s[i] = _mm512_min_epi64(s[i], _mm512_set1_epi64(e->top));
        out[i] = _mm512_cvtepi64_epi8(s[i]);
    }
    _mm_mask_storeu_epi8(e->out + at, mask, _mm_unpacklo_epi64(out[0], out[1]));
}

VNNI INLINE void tile_vnni(const lti_int_conv *c, const lti_int_end *e, int64_t place, int64_t k, int places,
                           int blocks)
{
    __m512i acc[8][2];
    const uint8_t *x = c->x + place / c->w * c->row_step + place % c->w * c->step;
    sum_vnni(c, x, c->weights + k * c->kp, places, blocks, acc);
    for (int b = 0; b < blocks; b++) {
        const int64_t first = k + b * LTI_INT_LANES, left = c->k - first;
        const __mmask16 mask = (__mmask16)(left >= LTI_INT_LANES ? 0xffffu : (1u << left) - 1u);
        for (int i = 0; i < places; i++)
            end_vnni(e, (place + i) * c->k + first, first, mask, acc[i][b]);
    }
}

// A row of places; two blocks of channels share what is loaded.
VNNI INLINE void row_vnni(const lti_int_conv *c, const lti_int_end *e, int64_t y, int64_t k, int blocks)
{
    int64_t x = 0;
    for (; x + 8 <= c->w; x += 8)
        tile_vnni(c, e, y * c->w + x, k, 8, blocks);
    for (; x + 4 <= c->w; x += 4)
        tile_vnni(c, e, y * c->w + x, k, 4, blocks);
    for (; x < c->w; x++)
        tile_vnni(c, e, y * c->w + x, k, 1, blocks);
}

VNNI void lti_int_conv_vnni(const lti_int_conv *c, const lti_int_end *e)
{
    int64_t k = 0;
    for (; k + LTI_INT_LANES < c->k; k += 2 * LTI_INT_LANES)
        for (int64_t y = 0; y < c->h; y++)
            row_vnni(c, e, y, k, 2);
    for (; k < c->k; k += LTI_INT_LANES)
        for (int64_t y = 0; y < c->h; y++)
            row_vnni(c, e, y, k, 1);
}

// ---- AVX2: pair sums in 16 bits, widened after c->inner of them

AVX2 INLINE void sum_avx2(const lti_int_conv *c, const uint8_t *x, const int8_t *w, int places, __m256i wide[4][2])
{
    const __m256i ones = _mm256_set1_epi16(1);
    for (int i = 0; i < places; i++)
        wide[i][0] = wide[i][1] = _mm256_setzero_si256();
    for (int64_t r = 0; r < c->r; r++, x += c->line, w += c->span * LTI_INT_LANES)
        for (int64_t q = 0; q < c->span;) {
            __m256i narrow[4][2];
            const int64_t end = least(q + 4 * (int64_t)c->inner, c->span);
            for (int i = 0; i < places; i++)
                narrow[i][0] = narrow[i][1] = _mm256_setzero_si256();
            for (; q < end; q += 4) {
                const __m256i v0 = _mm256_loadu_si256((const __m256i *)(const void *)(w + q * LTI_INT_LANES));
                const __m256i v1 = _mm256_loadu_si256((const __m256i *)(const void *)(w + q * LTI_INT_LANES + 32));
                for (int i = 0; i < places; i++) {
                    const __m256i a = _mm256_set1_epi32(four_bytes(x + i * c->step + q));
                    narrow[i][0] = _mm256_add_epi16(narrow[i][0], _mm256_maddubs_epi16(a, v0));
                    narrow[i][1] = _mm256_add_epi16(narrow[i][1], _mm256_maddubs_epi16(a, v1));
                }
            }
            for (int i = 0; i < places; i++)
                for (int h = 0; h < 2; h++)
                    wide[i][h] = _mm256_add_epi32(wide[i][h], _mm256_madd_epi16(narrow[i][h], ones));
        }
}

// Weights of 8 bits, whose pair sums pass 16 bits: products of 16-bit numbers, four channels a register.
AVX2 INLINE void sum_avx2_8bit(const lti_int_conv *c, const uint8_t *x, const int8_t *w, __m256i wide[2])
{
    __m256i pair[4];
    for (int j = 0; j < 4; j++)
        pair[j] = _mm256_setzero_si256();
    for (int64_t r = 0; r < c->r; r++, x += c->line, w += c->span * LTI_INT_LANES)
        for (int64_t q = 0; q < c->span; q += 4) {
            const __m128i four = _mm_cvtepu8_epi16(_mm_cvtsi32_si128(four_bytes(x + q)));
            const __m256i a = _mm256_broadcastq_epi64(four);
            for (int j = 0; j < 4; j++) {
                const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)(w + q * LTI_INT_LANES + 16 * j));
                pair[j] = _mm256_add_epi32(pair[j], _mm256_madd_epi16(a, _mm256_cvtepi8_epi16(v)));
            }
        }
    for (int h = 0; h < 2; h++) // sums of neighbours; hadd leaves channels 0 1 4 5 2 3 6 7
        wide[h] = _mm256_permute4x64_epi64(_mm256_hadd_epi32(pair[2 * h], pair[2 * h + 1]), 0xd8);
}

// Four sums of one place, of which there are channels from k on, to codes in 64-bit lanes.
AVX2 INLINE __m256i end_four(const lti_int_end *e, int64_t at, int64_t k, __m128i acc)
{
    const __m256i zero = _mm256_setzero_si256(), top = _mm256_set1_epi64x(e->top);
    const __m128i m = _mm_loadu_si128((const __m128i *)(const void *)(e->mul + k));
    const int64_t *base = e->sum ? e->sum + at : e->add + k;
    __m256i s = _mm256_loadu_si256((const __m256i *)(const void *)base);
    s = _mm256_add_epi64(s, _mm256_mul_epi32(_mm256_cvtepi32_epi64(acc), _mm256_cvtepi32_epi64(m)));
    if (e->same) {
        const __m256i x = _mm256_cvtepu8_epi64(_mm_cvtsi32_si128(four_bytes(e->same + at)));
        const __m128i n = _mm_loadu_si128((const __m128i *)(const void *)(e->same_mul + k));
        s = _mm256_add_epi64(s, _mm256_mul_epi32(x, _mm256_cvtepi32_epi64(n)));
    }
    s = _mm256_andnot_si256(_mm256_cmpgt_epi64(zero, s), s); // what is below 0 becomes 0: a logical shift will do
    s = _mm256_srl_epi64(s, _mm_cvtsi32_si128(e->shift));
    return _mm256_blendv_epi8(s, top, _mm256_cmpgt_epi64(s, top));
}

// Plainly, for the last channels of a layer whose number is no multiple of four.
static void end_rest(const lti_int_end *e, int64_t at, int64_t k, int64_t n, const int32_t *acc)
{
    for (int64_t j = 0; j < n; j++) {
        int64_t s = (e->sum ? e->sum[at + j] : e->add[k + j]) + (int64_t)e->mul[k + j] * acc[j];
        s += e->same ? (int64_t)e->same_mul[k + j] * e->same[at + j] : 0;
        s = lti_floor_shift(s, e->shift);
        e->out[at + j] = (uint8_t)(s < 0 ? 0 : least(s, e->top));
    }
}

AVX2 INLINE void end_avx2(const lti_int_conv *c, const lti_int_end *e, int64_t place, int64_t k, const __m256i sum[2])
{
    int32_t acc[LTI_INT_LANES];
    const int64_t n = least(c->k - k, LTI_INT_LANES), at = place * c->k + k;
    int64_t j = 0;
    for (int h = 0; h < 2; h++)
        _mm256_storeu_si256((__m256i *)(void *)(acc + 8 * h), sum[h]);
    for (; j + 4 <= n; j += 4) {
        const __m256i s = end_four(e, at + j, k + j, _mm_loadu_si128((const __m128i *)(const void *)(acc + j)));
        const __m256i words = _mm256_permutevar8x32_epi32(s, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6));
        const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_castsi256_si128(words));
        const int32_t bytes = _mm_cvtsi128_si32(_mm_packus_epi16(halves, halves));
        memcpy(e->out + at + j, &bytes, sizeof bytes);
    }
    end_rest(e, at + j, k + j, n - j, acc + j);
}

AVX2 INLINE void tile_avx2(const lti_int_conv *c, const lti_int_end *e, int64_t place, int64_t k, int places)
{
    __m256i sum[4][2];
    const uint8_t *x = c->x + place / c->w * c->row_step + place % c->w * c->step;
    if (c->inner > 0)
        sum_avx2(c, x, c->weights + k * c->kp, places, sum);
    else
        for (int i = 0; i < places; i++)
            sum_avx2_8bit(c, x + i * c->step, c->weights + k * c->kp, sum[i]);
    for (int i = 0; i < places; i++)
        end_avx2(c, e, place + i, k, sum[i]);
}

AVX2 void lti_int_conv_avx2(const lti_int_conv *c, const lti_int_end *e)
{
    for (int64_t k = 0; k < c->k; k += LTI_INT_LANES)
        for (int64_t y = 0; y < c->h; y++) {
            int64_t x = 0;
            for (; x + 4 <= c->w; x += 4)
                tile_avx2(c, e, y * c->w + x, k, 4);
            for (; x < c->w; x++)
                tile_avx2(c, e, y * c->w + x, k, 1);
        }
}

#endif
