// The engine's registers.
#pragma once

#include "fault.h"

// Waits until the engine is idle and zeroes its count. Faults: watchdog.
PUMICE_MUST_USE pumice_status_t pumice_engine_clear(void);
