// The engine's registers.
#pragma once

#include <stdbool.h>

#include "mmio.h"

// Says whether a layer waits or runs.
static inline bool pumice_engine_busy(void) {
  return (pumice_read(PUMICE_ENGINE_STATUS_ADDRESS) & PUMICE_ENGINE_STATUS_BUSY_MASK) != 0;
}

// Zeroes its count, while it is idle.
static inline void pumice_engine_clear(void) {
  pumice_write(PUMICE_ENGINE_CLEAR_ADDRESS, PUMICE_ENGINE_CLEAR_CLEAR_MASK);
}
