// Limits of the firmware.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "generated/pumice_registers.h"

// Rounds of a wait in which nothing completes before it is given up with the fault "watchdog". The shortest takes at
// least 8 cycles, that for the walker 128, so that a layer or transfer has more than 2^27 cycles, about a second.
#ifndef PUMICE_POLL_LIMIT
#define PUMICE_POLL_LIMIT (1u << 20)
#endif

// Bytes of soft-core RAM (EngineConfig.cpu_ram_bytes); the build sets it.
#ifndef PUMICE_RAM_BYTES
#error "PUMICE_RAM_BYTES must be defined"
#endif

// Says whether a counter of completed layers or transfers, which wraps, has reached `n`.
static inline bool pumice_reached(uint32_t completed, uint32_t n) { return (int32_t)(completed - n) >= 0; }

// The walker's counts have 16 bits; it is never further ahead than a log is long and lists wait for their transfers.
_Static_assert(PUMICE_COMMANDS_OFFSET + 2 * PUMICE_PAGE_BYTES <= PUMICE_RAM_BYTES, "two pages must fit in RAM");
_Static_assert(PUMICE_COMMANDS_OFFSET % PUMICE_PAGE_BYTES == 0, "lists begin where pages do");
