// Every access of the firmware to registers and to RAM that the DMA or the engine write. The tests define
// PUMICE_FAKE_MMIO and link functions of their own.
#pragma once

#include <stdint.h>

#include "generated/pumice_registers.h"

#ifdef PUMICE_FAKE_MMIO
uint32_t pumice_read(uint32_t address);
void pumice_write(uint32_t address, uint32_t value);
#else
static inline uint32_t pumice_read(uint32_t address) { return *(const volatile uint32_t*)address; }

static inline void pumice_write(uint32_t address, uint32_t value) { *(volatile uint32_t*)address = value; }
#endif

// Field of a register or structure word, by the stem of its generated constants.
#define PUMICE_GET(word, field) (((word) & field##_MASK) >> field##_LSB)
#define PUMICE_SET(value, field) (((uint32_t)(value) << field##_LSB) & field##_MASK)
