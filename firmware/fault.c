#include "fault.h"

#include "mmio.h"
#include "schedule.h"

void pumice_finish(pumice_status_t status) {
  pumice_write(PUMICE_MAILBOX_DETAIL_ADDRESS, status.detail);
  pumice_write(PUMICE_MAILBOX_FINISH_ADDRESS, status.fault);
}

_Noreturn void pumice_trap(uint32_t program_counter) {
  pumice_finish(pumice_fault(PUMICE_FAULT_TRAP, program_counter));
  pumice_forget();
  for (;;) pumice_serve();
}
