// What the processor and the operating system allow.
#pragma once

namespace realesrgan {

enum Feature { AVX2_FMA, AVX512, AMX_BF16 };

bool cpu_has(Feature feature);

}  // namespace realesrgan
