/* Which of the kernels' machine code this processor runs: the levels of ffprep/kernels/shipped.py.
 *
 * The features are those that scripts/build_kernels.py has LLVM compile for; __builtin_cpu_supports also asks whether
 * the operating system keeps the registers. What gcc cannot be asked for by name is asked of the processor.
 */
#include <cpuid.h>
#include <stdint.h>

__attribute__((visibility("default"))) int64_t ffp_kernels_level(void);

static int has_lzcnt_and_movbe(void) {
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) || !(ecx & bit_LZCNT)) {
        return 0;
    }
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_MOVBE) && (ecx & bit_F16C);
}

/* 0: none, 1: x86-64-v2, 2: x86-64-v3, 3: x86-64-v4 with VBMI and VNNI. */
int64_t ffp_kernels_level(void) {
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("popcnt"))) {
        return 0;
    }
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
          __builtin_cpu_supports("bmi2") && has_lzcnt_and_movbe())) {
        return 1;
    }
    if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
          __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
          __builtin_cpu_supports("avx512vnni"))) {
        return 2;
    }
    return 3;
}
