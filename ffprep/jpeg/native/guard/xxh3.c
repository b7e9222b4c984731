/* xxh3-64, as doc/xxhash_spec.md of github.com/Cyan4973/xxHash specifies it, without a seed and with the secret given
 * there. tests/jpeg/test_guard.py compares it with the Python package xxhash, which this is not, because worker threads
 * call it without the interpreter's lock. */
#include <string.h>

#include "guard.h"
#include "levels.h"

#if FFP_X86
#include <immintrin.h>
#endif

enum { STRIPE = 64, SECRET = 192, STRIPES = (SECRET - STRIPE) / 8, BLOCK = STRIPE * STRIPES };
enum { AHEAD = 1024 }; /* Bytes that are asked for ahead, since a file's own pages end what the processor foresees. */

static const uint64_t P32_1 = 0x9E3779B1, P32_2 = 0x85EBCA77, P32_3 = 0xC2B2AE3D;
static const uint64_t P64_1 = 0x9E3779B185EBCA87, P64_2 = 0xC2B2AE3D27D4EB4F, P64_3 = 0x165667B19E3779F9;
static const uint64_t P64_4 = 0x85EBCA77C2B2AE63, P64_5 = 0x27D4EB2F165667C5;
static const uint64_t MIX_1 = 0x165667919E3779F9, MIX_2 = 0x9FB21C651E98DF25;

static const uint8_t secret[SECRET] = {
    0xb8, 0xfe, 0x6c, 0x39, 0x23, 0xa4, 0x4b, 0xbe, 0x7c, 0x01, 0x81, 0x2c, 0xf7, 0x21, 0xad, 0x1c, 0xde, 0xd4,
    0x6d, 0xe9, 0x83, 0x90, 0x97, 0xdb, 0x72, 0x40, 0xa4, 0xa4, 0xb7, 0xb3, 0x67, 0x1f, 0xcb, 0x79, 0xe6, 0x4e,
    0xcc, 0xc0, 0xe5, 0x78, 0x82, 0x5a, 0xd0, 0x7d, 0xcc, 0xff, 0x72, 0x21, 0xb8, 0x08, 0x46, 0x74, 0xf7, 0x43,
    0x24, 0x8e, 0xe0, 0x35, 0x90, 0xe6, 0x81, 0x3a, 0x26, 0x4c, 0x3c, 0x28, 0x52, 0xbb, 0x91, 0xc3, 0x00, 0xcb,
    0x88, 0xd0, 0x65, 0x8b, 0x1b, 0x53, 0x2e, 0xa3, 0x71, 0x64, 0x48, 0x97, 0xa2, 0x0d, 0xf9, 0x4e, 0x38, 0x19,
    0xef, 0x46, 0xa9, 0xde, 0xac, 0xd8, 0xa8, 0xfa, 0x76, 0x3f, 0xe3, 0x9c, 0x34, 0x3f, 0xf9, 0xdc, 0xbb, 0xc7,
    0xc7, 0x0b, 0x4f, 0x1d, 0x8a, 0x51, 0xe0, 0x4b, 0xcd, 0xb4, 0x59, 0x31, 0xc8, 0x9f, 0x7e, 0xc9, 0xd9, 0x78,
    0x73, 0x64, 0xea, 0xc5, 0xac, 0x83, 0x34, 0xd3, 0xeb, 0xc3, 0xc5, 0x81, 0xa0, 0xff, 0xfa, 0x13, 0x63, 0xeb,
    0x17, 0x0d, 0xdd, 0x51, 0xb7, 0xf0, 0xda, 0x49, 0xd3, 0x16, 0x55, 0x26, 0x29, 0xd4, 0x68, 0x9e, 0x2b, 0x16,
    0xbe, 0x58, 0x7d, 0x47, 0xa1, 0xfc, 0x8f, 0xf8, 0xb8, 0xd1, 0x7a, 0xd0, 0x31, 0xce, 0x45, 0xcb, 0x3a, 0x8f,
    0x95, 0x16, 0x04, 0x28, 0xaf, 0xd7, 0xfb, 0xca, 0xbb, 0x4b, 0x40, 0x7e,
};

static inline uint64_t read64(const uint8_t *p) {
    uint64_t value;
    memcpy(&value, p, sizeof value);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

static inline uint64_t read32(const uint8_t *p) {
    uint32_t value;
    memcpy(&value, p, sizeof value);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap32(value);
#endif
    return value;
}

static inline uint64_t rotated(uint64_t x, int bits) { return (x << bits) | (x >> (64 - bits)); }

static inline uint64_t folded(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t avalanche(uint64_t hash) {
    hash = (hash ^ (hash >> 37)) * MIX_1;
    return hash ^ (hash >> 32);
}

static inline uint64_t mixed(const uint8_t *data, const uint8_t *key) {
    return folded(read64(data) ^ read64(key), read64(data + 8) ^ read64(key + 8));
}

static uint64_t upto_3(const uint8_t *data, uint64_t size) {
    uint64_t hash = read64(secret + 56) ^ read64(secret + 64);
    if (size > 0) {
        uint64_t bytes = (uint64_t)data[0] << 16 | (uint64_t)data[size >> 1] << 24 | data[size - 1] | size << 8;
        hash = bytes ^ (read32(secret) ^ read32(secret + 4));
    }
    hash = (hash ^ (hash >> 33)) * P64_2;
    hash = (hash ^ (hash >> 29)) * P64_3;
    return hash ^ (hash >> 32);
}

static uint64_t upto_8(const uint8_t *data, uint64_t size) {
    uint64_t both = read32(data + size - 4) + (read32(data) << 32);
    uint64_t hash = both ^ (read64(secret + 8) ^ read64(secret + 16));
    hash = (hash ^ rotated(hash, 49) ^ rotated(hash, 24)) * MIX_2;
    hash = (hash ^ ((hash >> 35) + size)) * MIX_2;
    return hash ^ (hash >> 28);
}

static uint64_t upto_16(const uint8_t *data, uint64_t size) {
    uint64_t low = read64(data) ^ (read64(secret + 24) ^ read64(secret + 32));
    uint64_t high = read64(data + size - 8) ^ (read64(secret + 40) ^ read64(secret + 48));
    return avalanche(size + __builtin_bswap64(low) + high + folded(low, high));
}

static uint64_t upto_128(const uint8_t *data, uint64_t size) {
    uint64_t hash = size * P64_1;
    for (int64_t i = (int64_t)(size - 1) / 32; i >= 0; i--) {
        hash += mixed(data + 16 * i, secret + 32 * i);
        hash += mixed(data + size - 16 * (i + 1), secret + 32 * i + 16);
    }
    return avalanche(hash);
}

static uint64_t upto_240(const uint8_t *data, uint64_t size) {
    uint64_t hash = size * P64_1;
    for (uint64_t i = 0; i < 8; i++) {
        hash += mixed(data + 16 * i, secret + 16 * i);
    }
    hash = avalanche(hash);
    for (uint64_t i = 8; i < size / 16; i++) {
        hash += mixed(data + 16 * i, secret + 16 * (i - 8) + 3);
    }
    return avalanche(hash + mixed(data + size - 16, secret + 136 - 17));
}

static void add_scalar(uint64_t sums[8], const uint8_t *data, const uint8_t *key) {
    for (int i = 0; i < 8; i++) {
        uint64_t value = read64(data + 8 * i), keyed = value ^ read64(key + 8 * i);
        sums[i ^ 1] += value;
        sums[i] += (keyed & 0xFFFFFFFF) * (keyed >> 32);
    }
}

/* Takes all of the data into the sums: stripes of 64 bytes, with a key that moves on by 8 bytes with each, and after a
 * block of 16 stripes scrambles the sums; at the end once more the last 64 bytes. */
static void sum_scalar(uint64_t sums[8], const uint8_t *data, uint64_t size) {
    uint64_t stripes = (size - 1) / STRIPE;
    for (uint64_t n = 0; n < stripes; n++) {
        add_scalar(sums, data + STRIPE * n, secret + 8 * (n % STRIPES));
        for (int i = 0; i < 8 && n % STRIPES == STRIPES - 1; i++) {
            sums[i] = (sums[i] ^ (sums[i] >> 47) ^ read64(secret + SECRET - STRIPE + 8 * i)) * P32_1;
        }
    }
    add_scalar(sums, data + size - STRIPE, secret + SECRET - STRIPE - 7);
}

#if FFP_X86
#define INLINE static inline __attribute__((target("avx2"), always_inline))

INLINE __m256i load(const uint8_t *from) { return _mm256_loadu_si256((const __m256i *)from); }

INLINE __m256i added(__m256i sums, const uint8_t *data, const uint8_t *key) {
    __m256i value = load(data), keyed = _mm256_xor_si256(value, load(key));
    __m256i product = _mm256_mul_epu32(keyed, _mm256_srli_epi64(keyed, 32));
    return _mm256_add_epi64(_mm256_add_epi64(sums, _mm256_shuffle_epi32(value, 0x4E)), product);
}

INLINE __m256i scrambled(__m256i sums, const uint8_t *key) {
    __m256i factor = _mm256_set1_epi64x((long long)P32_1);
    __m256i x = _mm256_xor_si256(_mm256_xor_si256(sums, _mm256_srli_epi64(sums, 47)), load(key));
    __m256i high = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), factor);
    return _mm256_add_epi64(_mm256_mul_epu32(x, factor), _mm256_slli_epi64(high, 32));
}

__attribute__((target("avx2"))) static void sum_avx2(uint64_t sums[8], const uint8_t *data, uint64_t size) {
    __m256i low = load((const uint8_t *)sums), high = load((const uint8_t *)(sums + 4));
    const uint8_t *last = data + size - STRIPE, *end = secret + SECRET - STRIPE;
    for (uint64_t blocks = (size - 1) / BLOCK; blocks > 0; blocks--, data += BLOCK) {
        for (int n = 0; n < STRIPES; n++) {
            _mm_prefetch((const char *)(data + STRIPE * n + AHEAD), _MM_HINT_T0);
            low = added(low, data + STRIPE * n, secret + 8 * n);
            high = added(high, data + STRIPE * n + 32, secret + 8 * n + 32);
        }
        low = scrambled(low, end);
        high = scrambled(high, end + 32);
    }
    for (const uint8_t *key = secret; data < last; data += STRIPE, key += 8) {
        low = added(low, data, key);
        high = added(high, data + 32, key + 32);
    }
    low = added(low, last, end - 7);
    high = added(high, last + 32, end - 7 + 32);
    _mm256_storeu_si256((__m256i *)sums, low);
    _mm256_storeu_si256((__m256i *)(sums + 4), high);
}
#endif

static uint64_t longer(const uint8_t *data, uint64_t size) {
    uint64_t sums[8] = {P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1};
#if FFP_X86
    if (!ffp_level_is_scalar()) {
        sum_avx2(sums, data, size);
    } else
#endif
    {
        sum_scalar(sums, data, size);
    }
    uint64_t hash = size * P64_1;
    for (int i = 0; i < 4; i++) {
        const uint8_t *key = secret + 11 + 16 * i;
        hash += folded(sums[2 * i] ^ read64(key), sums[2 * i + 1] ^ read64(key + 8));
    }
    return avalanche(hash);
}

uint64_t ffp_xxh3(const uint8_t *data, int64_t size) {
    uint64_t n = (uint64_t)size;
    if (n > 240) {
        return longer(data, n);
    }
    return n > 128  ? upto_240(data, n)
           : n > 16 ? upto_128(data, n)
           : n > 8  ? upto_16(data, n)
           : n > 3  ? upto_8(data, n)
                    : upto_3(data, n);
}
