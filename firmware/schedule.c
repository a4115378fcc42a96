#include "schedule.h"

#include <stdbool.h>

#include "config.h"
#include "dma.h"
#include "engine.h"
#include "mmio.h"

enum {
  HEADER_BYTES = 4 * PUMICE_IMAGE_HEADER_N_WORDS,
  LIST_ALIGNMENT = 8,  // of offsets and lengths: the DMA's word
  LAYER_COMMAND_WORDS = PUMICE_COMMAND_N_WORDS + PUMICE_LAYER_N_WORDS,
  TRANSFER_COMMAND_WORDS = PUMICE_COMMAND_N_WORDS + PUMICE_TRANSFER_N_WORDS,
  LOG_ENTRIES = PUMICE_LOG_BYTES / PUMICE_LOG_ENTRY_BYTES,
};

// The soft core shifts one bit a cycle and multiplies slowly: what follows compares fields in place and adds.
#define IN_PLACE(value, field) PUMICE_SET(value, PUMICE_COMMAND_##field)

// A command list and where it lies in the image and, once fetched, in RAM.
typedef struct {
  uint32_t offset;
  uint32_t n_bytes;
  uint32_t address;
} list_t;

static struct {
  bool loaded;
  list_t run;
  uint32_t n_layers;
  uint32_t input_bytes;   // of a sample
  uint32_t output_bytes;  // of a sample
} program;

// The walk of a sample through a list.
static struct {
  uint32_t skip;              // SKIP_ bits of the sample, in the place of COMMAND's field
  uint32_t layers_before;     // that earlier walks count
  uint32_t transfers_before;  // the same, less all that were skipped
  uint32_t n_transfers;       // of this walk so far, skipped ones included
  uint32_t input_offset;      // of the sample's part of the buffer
  uint32_t output_offset;
} walk;

void pumice_forget(void) { program.loaded = false; }

// A word of the image header, which lies at COMMANDS_OFFSET while an image is being loaded.
#define HEADER(field) pumice_read(PUMICE_COMMANDS_OFFSET + 4 * PUMICE_IMAGE_HEADER_##field##_WORD)

PUMICE_MUST_USE PUMICE_COLD static pumice_status_t check_list(const list_t* list, uint32_t image_bytes) {
  if (list->n_bytes == 0 || ((list->n_bytes | list->offset) & (LIST_ALIGNMENT - 1)) != 0 ||
      list->offset > image_bytes || list->n_bytes > image_bytes - list->offset) {
    return pumice_fault(PUMICE_FAULT_IMAGE, list->offset);
  }
  return pumice_ok();
}

PUMICE_MUST_USE PUMICE_COLD static pumice_status_t fetch_list(const list_t* list) {
  return pumice_dma_copy(0, PUMICE_BUFFER_IMAGE, list->address, list->offset, list->n_bytes);
}

PUMICE_MUST_USE static pumice_status_t clear_counts(void) {
  PUMICE_TRY(pumice_engine_clear());
  return pumice_dma_clear();
}

#define COUNTS(command) pumice_read((command) + 4 * PUMICE_COMMAND_AFTER_LAYERS_WORD)
_Static_assert(PUMICE_COMMAND_AFTER_TRANSFERS_MASK == 0xFFFFu, "wait_transfers looks at the lower half");

// Waits for the transfers of a command, COMMAND's second word: counters have 16 bits, so that the upper half may stay.
PUMICE_MUST_USE static inline pumice_status_t wait_transfers(uint32_t counts) {
  return pumice_dma_wait(walk.transfers_before + counts);
}

// Waits for the layers and transfers of a command.
PUMICE_MUST_USE static pumice_status_t wait_counts(uint32_t counts) {
  PUMICE_TRY(pumice_engine_wait(walk.layers_before + PUMICE_GET(counts, PUMICE_COMMAND_AFTER_LAYERS)));
  return wait_transfers(counts);
}

// Carries out the TRANSFER command at RAM address `command`, or skips it.
PUMICE_MUST_USE PUMICE_APART static pumice_status_t run_transfer(uint32_t command) {
  const uint32_t word = pumice_read(command);
  walk.n_transfers++;
  if ((word & walk.skip) != 0) {
    walk.transfers_before--;
    return pumice_ok();
  }
  PUMICE_TRY(wait_counts(COUNTS(command)));
  const uint32_t payload = command + 4 * PUMICE_COMMAND_N_WORDS;
  const uint32_t head = pumice_read(payload);
  uint32_t offset = pumice_read(payload + 4 * PUMICE_TRANSFER_OFFSET_WORD);
  uint32_t sample_bytes = 0;
  if ((head & PUMICE_TRANSFER_BUFFER_MASK) == PUMICE_SET(PUMICE_BUFFER_INPUT, PUMICE_TRANSFER_BUFFER)) {
    offset += walk.input_offset;
    sample_bytes = program.input_bytes;
  } else if ((head & PUMICE_TRANSFER_BUFFER_MASK) == PUMICE_SET(PUMICE_BUFFER_OUTPUT, PUMICE_TRANSFER_BUFFER)) {
    offset += walk.output_offset;
    sample_bytes = program.output_bytes;
  }
  if ((word & IN_PLACE(PUMICE_SKIP_FIRST, SKIP)) != 0) offset -= sample_bytes;
  if ((word & IN_PLACE(PUMICE_SKIP_LAST, SKIP)) != 0) offset += sample_bytes;
  return pumice_dma_submit(head, pumice_read(payload + 4 * PUMICE_TRANSFER_LOCAL_WORD), offset,
                           pumice_read(payload + 4 * PUMICE_TRANSFER_N_BYTES_WORD));
}

// Begins the walk of a sample with `more` behind it.
static inline void begin_walk(uint32_t skip, uint32_t more) {
  walk.skip = skip | (more == 0 ? IN_PLACE(PUMICE_SKIP_LAST, SKIP) : IN_PLACE(PUMICE_SKIP_BUT_LAST, SKIP));
  walk.n_transfers = 0;
}

// Walks a list in RAM once for the first sample and once for each of `more` others (in the place of the mailbox's field);
// everything has completed at the end. Faults: command (detail: the word offset of the malformed command), those of the
// DMA.
PUMICE_MUST_USE PUMICE_APART static pumice_status_t run_list(const list_t* list, uint32_t more) {
  PUMICE_TRY(clear_counts());
  walk.layers_before = walk.transfers_before = walk.input_offset = walk.output_offset = 0;
  begin_walk(IN_PLACE(PUMICE_SKIP_FIRST, SKIP), more);
  const uint32_t start = list->address;
  const uint32_t end = start + list->n_bytes;
  uint32_t command = start;
  while (end - command >= 4 * PUMICE_COMMAND_N_WORDS) {
    const uint32_t word = pumice_read(command + 4 * PUMICE_COMMAND_OP_WORD);
    const uint32_t op = word & PUMICE_COMMAND_OP_MASK;
    const uint32_t length = word & PUMICE_COMMAND_N_WORDS_MASK;
    if (op == PUMICE_OP_LAYER) {
      if (length != IN_PLACE(LAYER_COMMAND_WORDS, N_WORDS) || end - command < 4 * LAYER_COMMAND_WORDS) break;
      PUMICE_TRY(wait_transfers(COUNTS(command)));
      PUMICE_TRY(pumice_engine_submit(command + 4 * PUMICE_COMMAND_N_WORDS));
      command += 4 * LAYER_COMMAND_WORDS;
    } else if (op == PUMICE_OP_TRANSFER) {
      if (length != IN_PLACE(TRANSFER_COMMAND_WORDS, N_WORDS) || end - command < 4 * TRANSFER_COMMAND_WORDS) break;
      PUMICE_TRY(run_transfer(command));
      command += 4 * TRANSFER_COMMAND_WORDS;
    } else {
      if (word != IN_PLACE(PUMICE_COMMAND_N_WORDS, N_WORDS)) break;  // END
      if (more == 0) return wait_counts(COUNTS(command));
      more -= PUMICE_SET(1, PUMICE_MAILBOX_COMMAND_MORE);
      walk.layers_before += program.n_layers;
      walk.transfers_before += walk.n_transfers;
      walk.input_offset += program.input_bytes;
      walk.output_offset += program.output_bytes;
      begin_walk(IN_PLACE(PUMICE_SKIP_BUT_FIRST, SKIP), more);
      command = start;
    }
  }
  return pumice_fault(PUMICE_FAULT_COMMAND, (command - start) / 4);
}

// Faults: image (detail: the offset of what is wrong), config, command, and those of the DMA and the load list.
PUMICE_MUST_USE PUMICE_COLD static pumice_status_t load(void) {
  pumice_forget();
  PUMICE_TRY(clear_counts());
  PUMICE_TRY(pumice_dma_copy(0, PUMICE_BUFFER_IMAGE, PUMICE_COMMANDS_OFFSET, 0, HEADER_BYTES));
  const uint32_t n_bytes = HEADER(N_BYTES);
  if (HEADER(MAGIC) != PUMICE_IMAGE_MAGIC || HEADER(VERSION) != PUMICE_IMAGE_VERSION ||
      n_bytes > pumice_read(PUMICE_MAILBOX_IMAGE_BYTES_ADDRESS)) {
    return pumice_fault(PUMICE_FAULT_IMAGE, 0);
  }
  const uint32_t config_id = HEADER(CONFIG_ID);
  if (config_id != pumice_read(PUMICE_MAILBOX_CONFIG_ADDRESS)) {
    return pumice_fault(PUMICE_FAULT_CONFIG, config_id);
  }
  const list_t run = {HEADER(RUN_OFFSET), HEADER(RUN_BYTES), PUMICE_COMMANDS_OFFSET};
  const list_t load = {HEADER(LOAD_OFFSET), HEADER(LOAD_BYTES), PUMICE_COMMANDS_OFFSET + run.n_bytes};
  program.n_layers = HEADER(N_LAYERS);
  program.input_bytes = HEADER(INPUT_BYTES);
  program.output_bytes = HEADER(OUTPUT_BYTES);
  PUMICE_TRY(check_list(&run, n_bytes));
  PUMICE_TRY(check_list(&load, n_bytes));
  const uint32_t room = PUMICE_RAM_BYTES - PUMICE_COMMANDS_OFFSET;
  if (run.n_bytes > room || load.n_bytes > room - run.n_bytes) {
    return pumice_fault(PUMICE_FAULT_COMMAND, 0);
  }
  PUMICE_TRY(fetch_list(&run));
  PUMICE_TRY(fetch_list(&load));
  PUMICE_TRY(run_list(&load, 0));
  program.run = run;
  program.loaded = true;
  return pumice_ok();
}

// Faults: not_loaded, and those of the DMA and the run list.
PUMICE_MUST_USE static pumice_status_t run(uint32_t more) {
  if (!program.loaded) return pumice_fault(PUMICE_FAULT_NOT_LOADED, 0);
  PUMICE_TRY(run_list(&program.run, more));
  const uint32_t n_entries = program.n_layers < LOG_ENTRIES ? program.n_layers : LOG_ENTRIES;
  if (n_entries == 0 || pumice_read(PUMICE_MAILBOX_LOG_BYTES_ADDRESS) == 0) return pumice_ok();
  return pumice_dma_copy(1, PUMICE_BUFFER_LOG, PUMICE_LOG_OFFSET, 0, n_entries * PUMICE_LOG_ENTRY_BYTES);
}

void pumice_serve(void) {
  const uint32_t command = pumice_read(PUMICE_MAILBOX_COMMAND_ADDRESS);
  switch (PUMICE_GET(command, PUMICE_MAILBOX_COMMAND_VALUE)) {
    case PUMICE_COMMAND_NONE:
      return;
    case PUMICE_COMMAND_LOAD:
      pumice_finish(load());
      return;
    case PUMICE_COMMAND_RUN:
      pumice_finish(run(command & PUMICE_MAILBOX_COMMAND_MORE_MASK));
      return;
    default:
      pumice_finish(pumice_fault(PUMICE_FAULT_COMMAND, 0));
      return;
  }
}
