// Verilator's sign extensions, in terms that g++ makes one instruction of instead of three.
//
// Included behind verilated.h into everything that Verilator writes (--compiler-include).

#pragma once

static inline IData pumice_extended(int bits, IData value) {
  return static_cast<IData>(static_cast<int32_t>(value << (32 - bits)) >> (32 - bits));
}
static inline QData pumice_extended(int bits, QData value) {
  return static_cast<QData>(static_cast<int64_t>(value << (64 - bits)) >> (64 - bits));
}
static inline int32_t pumice_signed(int bits, IData value) {
  return static_cast<int32_t>(pumice_extended(bits, value));
}

#define VL_EXTENDS_II(obits, lbits, value) pumice_extended(lbits, static_cast<IData>(value))
#define VL_EXTENDS_QI(obits, lbits, value) pumice_extended(lbits, static_cast<QData>(value))
#define VL_EXTENDS_QQ(obits, lbits, value) pumice_extended(lbits, static_cast<QData>(value))
#define VL_MULS_III(bits, a, b) \
  (pumice_extended(bits, static_cast<IData>(a)) * pumice_extended(bits, static_cast<IData>(b)))
#define VL_GTS_III(bits, a, b) static_cast<IData>(pumice_signed(bits, a) > pumice_signed(bits, b))
#define VL_GTES_III(bits, a, b) static_cast<IData>(pumice_signed(bits, a) >= pumice_signed(bits, b))
#define VL_LTS_III(bits, a, b) static_cast<IData>(pumice_signed(bits, a) < pumice_signed(bits, b))
#define VL_LTES_III(bits, a, b) static_cast<IData>(pumice_signed(bits, a) <= pumice_signed(bits, b))
