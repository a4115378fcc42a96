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
// than a list is long.
static inline bool pumice_reached(uint32_t completed, uint32_t n) { return ((completed - n) & 0x8000u) == 0; }

_Static_assert((PUMICE_RAM_BYTES - PUMICE_COMMANDS_OFFSET) / 4 / (PUMICE_COMMAND_N_WORDS + PUMICE_TRANSFER_N_WORDS) <
                   32768,
               "a list must be shorter than half of what a counter counts");
