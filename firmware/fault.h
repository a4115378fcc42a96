// Outcome of a call, and how it reaches the host.
#pragma once

#include <stdint.h>

#include "generated/pumice_registers.h"

// fault: a PUMICE_FAULT_ code, PUMICE_FAULT_NONE for success; detail: the host's fault_detail.
typedef struct {
  uint32_t fault;
  uint32_t detail;
} pumice_status_t;

#define PUMICE_MUST_USE __attribute__((warn_unused_result))

// Keeps what it needs out of the caller's registers.
#define PUMICE_APART __attribute__((noinline))

// Returns from the calling function if the call fails.
#define PUMICE_TRY(call)                                    \
  do {                                                      \
    const pumice_status_t status_ = (call);                 \
    if (status_.fault != PUMICE_FAULT_NONE) return status_; \
  } while (0)

PUMICE_MUST_USE static inline pumice_status_t pumice_fault(uint32_t fault, uint32_t detail) {
  return (pumice_status_t){.fault = fault, .detail = detail};
}

PUMICE_MUST_USE static inline pumice_status_t pumice_ok(void) { return pumice_fault(PUMICE_FAULT_NONE, 0); }

// Ends the command towards the host.
void pumice_finish(pumice_status_t status);

// Where the trap vector leads: reports the fault "trap" with the program counter, then serves commands again, without
// an image.
_Noreturn void pumice_trap(uint32_t program_counter);
