/* CRC-32 as everybody has it (IEEE 802.3, reflected, zlib's `crc32`): eight bytes a step with tables, and where the processor multiplies
 * polynomials, sixty-four, so that the digest is not what an upload measures; the Rust peers' library does the same.
 *
 * Both work on the register before its final inversion. A message is a polynomial, of which the CRC is the remainder modulo P; what is
 * congruent has the same remainder. So 128 bits can be moved n bits towards the end of the message by multiplying their two halves with
 * x^(n+32) and x^(n-32) modulo P, the constants below, and adding the products to what stands there. At the end 16 bytes are
 * left, which stand for all that came before them, and the tables do the rest. */

#include <string.h>

#include "server.h"

#define POLYNOMIAL 0xedb88320u

static uint32_t tables[8][256];

static void make_tables(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t value = byte;
        for (int bit = 0; bit < 8; bit++)
            value = value >> 1 ^ (value & 1 ? POLYNOMIAL : 0);
        tables[0][byte] = value;
    }
    for (int place = 1; place < 8; place++)
        for (int byte = 0; byte < 256; byte++) {
            uint32_t before = tables[place - 1][byte];
            tables[place][byte] = before >> 8 ^ tables[0][before & 0xff];
        }
}

static uint32_t by_tables(uint32_t value, const unsigned char *data, size_t length)
{
    for (; length >= 8; data += 8, length -= 8) {
        value ^= (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
        value = tables[7][value & 0xff] ^ tables[6][value >> 8 & 0xff] ^ tables[5][value >> 16 & 0xff] ^
                tables[4][value >> 24] ^ tables[3][data[4]] ^ tables[2][data[5]] ^ tables[1][data[6]] ^
                tables[0][data[7]];
    }
    for (; length > 0; data++, length--)
        value = value >> 8 ^ tables[0][(value ^ *data) & 0xff];
    return value;
}

#if defined(__x86_64__)

#include <immintrin.h>

#define MULTIPLIES __attribute__((target("pclmul,sse2")))

static bool can_multiply(void)
{
    return __builtin_cpu_supports("pclmul");
}

static inline MULTIPLIES __m128i load(const unsigned char *data)
{
    return _mm_loadu_si128((const __m128i *)data);
}

/* `moved` by the distance that `by` is for, added to `onto`. */
static inline MULTIPLIES __m128i fold(__m128i moved, __m128i by, __m128i onto)
{
    __m128i low = _mm_clmulepi64_si128(moved, by, 0x00);
    __m128i high = _mm_clmulepi64_si128(moved, by, 0x11);
    return _mm_xor_si128(onto, _mm_xor_si128(low, high));
}

/* At least 64 bytes. */
static MULTIPLIES uint32_t by_multiplying(uint32_t value, const unsigned char *data, size_t length)
{
    const __m128i by_512 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
    const __m128i by_128 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
    __m128i lanes[4];
    for (int lane = 0; lane < 4; lane++)
        lanes[lane] = load(data + 16 * lane);
    lanes[0] = _mm_xor_si128(lanes[0], _mm_cvtsi32_si128((int)value));
    for (data += 64, length -= 64; length >= 64; data += 64, length -= 64)
        for (int lane = 0; lane < 4; lane++)
            lanes[lane] = fold(lanes[lane], by_512, load(data + 16 * lane));
    __m128i one = lanes[0];
    for (int lane = 1; lane < 4; lane++)
        one = fold(one, by_128, lanes[lane]);
    for (; length >= 16; data += 16, length -= 16)
        one = fold(one, by_128, load(data));
    unsigned char left[16];
    memcpy(left, &one, sizeof left);
    return by_tables(by_tables(0, left, sizeof left), data, length);
}

#else

static bool can_multiply(void)
{
    return false;
}

static uint32_t by_multiplying(uint32_t value, const unsigned char *data, size_t length)
{
    return by_tables(value, data, length);
}

#endif

uint32_t crc32_update(uint32_t crc, const char *data, size_t length)
{
    static bool made, multiply;
    if (!made) {
        make_tables();
        multiply = can_multiply();
        made = true;
    }
    const unsigned char *bytes = (const unsigned char *)data;
    if (multiply && length >= 64)
        return ~by_multiplying(~crc, bytes, length);
    return ~by_tables(~crc, bytes, length);
}
