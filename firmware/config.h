// Limits of the firmware.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "generated/pumice_registers.h"

// Reads of a status register before a wait is given up with the fault "watchdog". A read and its test take at least
// 8 cycles, so that a layer or transfer has more than 2^27 cycles, about a second.
#ifndef PUMICE_POLL_LIMIT
#define PUMICE_POLL_LIMIT (1u << 24)
#endif

// Bytes of soft-core RAM (EngineConfig.cpu_ram_bytes); the build sets it.
#ifndef PUMICE_RAM_BYTES
#error "PUMICE_RAM_BYTES must be defined"
#endif

// Says whether a 16-bit counter of completed layers or transfers, which wraps, has reached `n`. It is never further away
// than a walk of a list is long.
static inline bool pumice_reached(uint32_t completed, uint32_t n) { return ((completed - n) & 0x8000u) == 0; }

// Lists of any length run from two pages. A walk has fewer layers and transfers, the fetches of pages and copies of the
// log included, than half of what the 16-bit counters of completed ones count: the compiler sees to that.
_Static_assert(PUMICE_COMMANDS_OFFSET + 2 * PUMICE_PAGE_BYTES <= PUMICE_RAM_BYTES, "two pages must fit in RAM");
