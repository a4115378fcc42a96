// The engine's registers.
#pragma once

#include "fault.h"

// Waits until the engine is idle and zeroes its count. Faults: watchdog.
PUMICE_MUST_USE pumice_status_t pumice_engine_clear(void);

// Waits until `n_layers` layers (modulo 2^16) have completed. Faults: watchdog.
PUMICE_MUST_USE pumice_status_t pumice_engine_wait(uint32_t n_layers);

// Queues the LAYER descriptor at RAM address `descriptor` as soon as the queue is free. Faults: watchdog.
PUMICE_MUST_USE pumice_status_t pumice_engine_submit(uint32_t descriptor);
