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

// First word of a command: every operation has one length.
#define HEAD_MASK (PUMICE_COMMAND_OP_MASK | PUMICE_COMMAND_N_WORDS_MASK)
#define HEAD(op, n_words) (PUMICE_SET(op, PUMICE_COMMAND_OP) | PUMICE_SET(n_words, PUMICE_COMMAND_N_WORDS))

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
} program;

void pumice_forget(void) { program.loaded = false; }

// A word of the image header, which lies at COMMANDS_OFFSET while an image is being loaded.
#define HEADER(field) pumice_read(PUMICE_COMMANDS_OFFSET + 4 * PUMICE_IMAGE_HEADER_##field##_WORD)

PUMICE_MUST_USE static pumice_status_t check_list(const list_t* list, uint32_t image_bytes) {
  if (list->n_bytes == 0 || ((list->n_bytes | list->offset) & (LIST_ALIGNMENT - 1)) != 0 ||
      list->offset > image_bytes || list->n_bytes > image_bytes - list->offset) {
    return pumice_fault(PUMICE_FAULT_IMAGE, list->offset);
  }
  return pumice_ok();
}

PUMICE_MUST_USE static pumice_status_t fetch_list(const list_t* list) {
  return pumice_dma_copy(0, PUMICE_BUFFER_IMAGE, list->address, list->offset, list->n_bytes);
}

PUMICE_MUST_USE static pumice_status_t clear_counts(void) {
  PUMICE_TRY(pumice_engine_clear());
  return pumice_dma_clear();
}

// Walks a list in RAM to its end. Faults: command (detail: the word offset of the malformed command), those of the DMA.
PUMICE_MUST_USE static pumice_status_t run_list(const list_t* list) {
  PUMICE_TRY(clear_counts());
  const uint32_t n_words = list->n_bytes / 4;
  uint32_t at = 0;
  while (n_words - at >= PUMICE_COMMAND_N_WORDS) {
    const uint32_t command = list->address + 4 * at;
    const uint32_t payload = command + 4 * PUMICE_COMMAND_N_WORDS;
    const uint32_t head = pumice_read(command + 4 * PUMICE_COMMAND_OP_WORD) & HEAD_MASK;
    const bool is_end = head == HEAD(PUMICE_OP_END, PUMICE_COMMAND_N_WORDS);
    const bool is_layer = head == HEAD(PUMICE_OP_LAYER, LAYER_COMMAND_WORDS) && n_words - at >= LAYER_COMMAND_WORDS;
    const bool is_transfer =
        head == HEAD(PUMICE_OP_TRANSFER, TRANSFER_COMMAND_WORDS) && n_words - at >= TRANSFER_COMMAND_WORDS;
    if (!is_end && !is_layer && !is_transfer) break;

    const uint32_t counts = pumice_read(command + 4 * PUMICE_COMMAND_AFTER_LAYERS_WORD);
    PUMICE_TRY(pumice_engine_wait(PUMICE_GET(counts, PUMICE_COMMAND_AFTER_LAYERS)));
    PUMICE_TRY(pumice_dma_wait(PUMICE_GET(counts, PUMICE_COMMAND_AFTER_TRANSFERS)));
    if (is_end) return pumice_ok();
    if (is_layer) {
      PUMICE_TRY(pumice_engine_submit(payload));
      at += LAYER_COMMAND_WORDS;
    } else {
      PUMICE_TRY(pumice_dma_submit(pumice_read(payload), pumice_read(payload + 4 * PUMICE_TRANSFER_LOCAL_WORD),
                                   pumice_read(payload + 4 * PUMICE_TRANSFER_OFFSET_WORD),
                                   pumice_read(payload + 4 * PUMICE_TRANSFER_N_BYTES_WORD)));
      at += TRANSFER_COMMAND_WORDS;
    }
  }
  return pumice_fault(PUMICE_FAULT_COMMAND, at);
}

// Faults: image (detail: the offset of what is wrong), config, command, and those of the DMA and the load list.
PUMICE_MUST_USE static pumice_status_t load(void) {
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
  const uint32_t n_layers = HEADER(N_LAYERS);
  PUMICE_TRY(check_list(&run, n_bytes));
  PUMICE_TRY(check_list(&load, n_bytes));
  const uint32_t room = PUMICE_RAM_BYTES - PUMICE_COMMANDS_OFFSET;
  if (run.n_bytes > room || load.n_bytes > room - run.n_bytes) {
    return pumice_fault(PUMICE_FAULT_COMMAND, 0);
  }
  PUMICE_TRY(fetch_list(&run));
  PUMICE_TRY(fetch_list(&load));
  PUMICE_TRY(run_list(&load));
  program.run = run;
  program.n_layers = n_layers;
  program.loaded = true;
  return pumice_ok();
}

// Faults: not_loaded, and those of the DMA and the run list.
PUMICE_MUST_USE static pumice_status_t run(void) {
  if (!program.loaded) return pumice_fault(PUMICE_FAULT_NOT_LOADED, 0);
  PUMICE_TRY(run_list(&program.run));
  const uint32_t n_entries = program.n_layers < LOG_ENTRIES ? program.n_layers : LOG_ENTRIES;
  if (n_entries == 0 || pumice_read(PUMICE_MAILBOX_LOG_BYTES_ADDRESS) == 0) return pumice_ok();
  return pumice_dma_copy(1, PUMICE_BUFFER_LOG, PUMICE_LOG_OFFSET, 0, n_entries * PUMICE_LOG_ENTRY_BYTES);
}

void pumice_serve(void) {
  switch (pumice_read(PUMICE_MAILBOX_COMMAND_ADDRESS)) {
    case PUMICE_COMMAND_NONE:
      return;
    case PUMICE_COMMAND_LOAD:
      pumice_finish(load());
      return;
    case PUMICE_COMMAND_RUN:
      pumice_finish(run());
      return;
    default:
      pumice_finish(pumice_fault(PUMICE_FAULT_COMMAND, 0));
      return;
  }
}
