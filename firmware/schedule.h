// Commands of the host: load and run.
#pragma once

#include "fault.h"

// Executes the command in the mailbox, if there is one, and reports its outcome to the host.
void pumice_serve(void);

// Gives up the loaded image.
void pumice_forget(void);
