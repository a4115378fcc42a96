// The simulated board around one verilated System: clock, AXI4 memory, AXI4-Lite host port.
//
// A cycle: sample the design's outputs, drive the memory's answers, raise the clock, drive the host port, lower the clock.
// Registers in front of the design (convert.py) take reset and answers on the rising edge.
// The plain C interface at the end is wrapped by board.py, which states what each call promises.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "Vtop.h"
#include "verilated.h"
#if VM_TRACE_SAIF
#include "verilated_saif_c.h"
using Trace = VerilatedSaifC;
#elif VM_TRACE
#include "verilated_vcd_c.h"
using Trace = VerilatedVcdC;
#endif

// Verilator's spelling of the ports host__x, memory__x and interrupt (a word that it reserves).
#define HOST(signal) top.host___05F##signal
#define MEMORY(signal) top.memory___05F##signal
#define INTERRUPT __SYM__interrupt

namespace {

constexpr uint32_t kBeatBytes = 8;
constexpr uint32_t kPageBytes = 4096;
constexpr uint32_t kOneBeat = 1 << 16;  // bandwidth credits are in 1/65536 of a beat
constexpr unsigned kOkay = 0, kDecodeError = 3;
constexpr uint64_t kHostLimit = 1000;  // cycles a register access may take
constexpr int kResetCycles = 8;

struct MemoryTiming {
  uint64_t latency;      // cycles from an address or last write beat to its answer
  uint32_t credit;       // beats a cycle and direction, in units of 1/kOneBeat
  uint32_t outstanding;  // bursts accepted and not yet answered, a direction
};

struct Burst {
  uint64_t address;
  uint32_t beats;
  uint64_t due;  // cycle of the first answer
  bool allowed;
};

// Data beats since the last clear, and the cycles of the first and last one that was read.
struct Traffic {
  uint64_t read_beats = 0, write_beats = 0, first_read = 0, last_read = 0;
};

// What a master presented and saw refused: it must present the same until it is taken.
template <typename Payload>
struct Held {
  bool waiting = false;
  Payload payload{};

  bool broken(bool valid, const Payload& now) const {
    return waiting && !(valid && payload == now);
  }
  void sample(bool valid, bool ready, const Payload& now) {
    waiting = valid && !ready;
    if (waiting) payload = now;
  }
};

struct Address {
  uint64_t address;
  unsigned length, size, burst;
  bool operator==(const Address& o) const {
    return address == o.address && length == o.length && size == o.size && burst == o.burst;
  }
};

struct WriteBeat {
  uint64_t data;
  unsigned strobe, last;
  bool operator==(const WriteBeat& o) const { return data == o.data && strobe == o.strobe && last == o.last; }
};

class Board {
 public:
  Board(uint8_t* dram, uint64_t base, MemoryTiming timing, const char* trace)
      : dram_(dram), base_(base), timing_(timing), top_(new Vtop(&context_)) {
#if VM_TRACE
    if (trace != nullptr) {
      context_.traceEverOn(true);
      trace_.reset(new Trace);
      top_->trace(trace_.get(), 99);
      trace_->open(trace);
    }
#else
    (void)trace;
#endif
    reset();
  }

  ~Board() {
    make_current();
#if VM_TRACE
    if (trace_) trace_->close();
#endif
    top_->final();
  }

  void allow(uint64_t address, uint64_t n_bytes) { allowed_[address] = n_bytes; }
  void revoke(uint64_t address) { allowed_.erase(address); }
  uint64_t cycle() const { return cycle_; }
  const char* error() const { return error_.c_str(); }
  bool interrupt() const { return top_->INTERRUPT; }
  Traffic& traffic() { return traffic_; }

  bool run(uint64_t n_cycles, bool until_interrupt) {
    make_current();
    for (uint64_t i = 0; i < n_cycles && error_.empty(); ++i) {
      if (until_interrupt && top_->INTERRUPT) break;
      step();
    }
    return error_.empty();
  }

  bool write(uint32_t offset, uint32_t value) {
    Vtop& top = *top_;
    HOST(awaddr) = offset;
    HOST(wdata) = value;
    HOST(wstrb) = 0xF;
    HOST(awvalid) = HOST(wvalid) = HOST(bready) = 1;
    return host_access(offset);
  }

  bool read(uint32_t offset, uint32_t* value) {
    Vtop& top = *top_;
    HOST(araddr) = offset;
    HOST(arvalid) = HOST(rready) = 1;
    const bool ok = host_access(offset);
    *value = host_data_;
    return ok;
  }

 private:
  // Verilator keeps the context of the last board that a thread made, and uses it behind the model's back (to take a
  // model's scopes down, for one), even when that board is gone.
  void make_current() { Verilated::threadContextp(&context_); }

  void reset() {
    Vtop& top = *top_;
    HOST(araddr) = HOST(arprot) = HOST(arvalid) = HOST(rready) = 0;
    HOST(awaddr) = HOST(awprot) = HOST(awvalid) = HOST(wvalid) = HOST(bready) = 0;
    MEMORY(arready) = MEMORY(rvalid) = MEMORY(awready) = MEMORY(wready) = MEMORY(bvalid) = 0;
    top.clk = 0;
    top.rst = 1;
    top.eval();
    for (int i = 0; i < kResetCycles; ++i) {
      top.clk = 1;
      top.eval();
      top.clk = 0;
      top.rst = i + 2 < kResetCycles;  // acts a cycle later
      top.eval();
    }
  }

  void fail(const std::string& what) {
    if (error_.empty()) error_ = "cycle " + std::to_string(cycle_) + ": " + what;
  }

  bool host_access(uint32_t offset) {
    make_current();
    host_busy_ = true;
    top_->eval();
    for (uint64_t i = 0; i < kHostLimit && host_busy_ && error_.empty(); ++i) step();
    if (host_busy_) fail("register " + std::to_string(offset) + " did not answer");
    return error_.empty();
  }

  void step() {
    Vtop& top = *top_;
    const HostTaken taken = host_busy_ ? sample_host() : HostTaken{};
    sample_memory();
    ++cycle_;
    drive_memory();
    top.clk = 1;
    top.eval();
    dump();
    if (host_busy_) drive_host(taken);
    top.clk = 0;
    top.eval();
    dump();
  }

  void dump() {
#if VM_TRACE
    if (trace_) trace_->dump(++time_);
#endif
  }

  struct HostTaken {
    bool write_address, write_data, write_answer, read_address, read_answer;
  };

  HostTaken sample_host() {
    Vtop& top = *top_;
    HostTaken taken{HOST(awvalid) && HOST(awready), HOST(wvalid) && HOST(wready), HOST(bvalid) && HOST(bready),
                    HOST(arvalid) && HOST(arready), HOST(rvalid) && HOST(rready)};
    if ((taken.write_answer && HOST(bresp) != kOkay) || (taken.read_answer && HOST(rresp) != kOkay))
      fail("a register access was answered with an error");
    if (taken.read_answer) host_data_ = HOST(rdata);
    return taken;
  }

  void drive_host(const HostTaken& taken) {
    Vtop& top = *top_;
    if (taken.write_address) HOST(awvalid) = 0;
    if (taken.write_data) HOST(wvalid) = 0;
    if (taken.read_address) HOST(arvalid) = 0;
    if (taken.write_answer || taken.read_answer) {
      HOST(bready) = HOST(rready) = 0;
      host_busy_ = false;
    }
  }

  Burst accept(const char* channel, const Address& a) {
    const uint64_t n_bytes = (a.length + 1) * kBeatBytes;
    if (a.burst != 1 || a.size != 3) fail(std::string(channel) + ": only INCR bursts of 8-byte beats are allowed");
    if (a.address % kBeatBytes) fail(std::string(channel) + ": a burst starts at an unaligned address");
    if (a.address % kPageBytes + n_bytes > kPageBytes) fail(std::string(channel) + ": a burst crosses a 4 KiB boundary");
    auto region = allowed_.upper_bound(a.address);
    bool allowed = region != allowed_.begin();
    if (allowed) {
      --region;
      allowed = a.address + n_bytes <= region->first + region->second;
    }
    return {a.address, a.length + 1, cycle_ + timing_.latency, allowed};
  }

  void sample_memory() {
    Vtop& top = *top_;
    if (MEMORY(arvalid) || read_address_.waiting) {
      const Address a{MEMORY(araddr), MEMORY(arlen), MEMORY(arsize), MEMORY(arburst)};
      if (read_address_.broken(MEMORY(arvalid), a)) fail("ar changed before it was taken");
      read_address_.sample(MEMORY(arvalid), MEMORY(arready), a);
      if (MEMORY(arvalid) && MEMORY(arready)) reads_.push_back(accept("ar", a));
    }
    if (MEMORY(awvalid) || write_address_.waiting) {
      const Address a{MEMORY(awaddr), MEMORY(awlen), MEMORY(awsize), MEMORY(awburst)};
      if (write_address_.broken(MEMORY(awvalid), a)) fail("aw changed before it was taken");
      write_address_.sample(MEMORY(awvalid), MEMORY(awready), a);
      if (MEMORY(awvalid) && MEMORY(awready)) writes_.push_back(accept("aw", a));
    }
    if (MEMORY(wvalid) || write_beat_.waiting) {
      const WriteBeat beat{MEMORY(wdata), MEMORY(wstrb), MEMORY(wlast)};
      if (write_beat_.broken(MEMORY(wvalid), beat)) fail("w changed before it was taken");
      write_beat_.sample(MEMORY(wvalid), MEMORY(wready), beat);
      if (MEMORY(wvalid) && MEMORY(wready)) store(beat);
    }
    read_shown_ = MEMORY(rvalid) && !MEMORY(rready);
    answer_shown_ = MEMORY(bvalid) && !MEMORY(bready);
  }

  void store(const WriteBeat& beat) {
    write_credit_ -= kOneBeat;
    ++traffic_.write_beats;
    Burst& burst = writes_.front();
    if (burst.allowed)
      for (unsigned i = 0; i < kBeatBytes; ++i)
        if (beat.strobe >> i & 1) dram_[burst.address - base_ + i] = static_cast<uint8_t>(beat.data >> 8 * i);
    burst.address += kBeatBytes;
    --burst.beats;
    if (static_cast<bool>(beat.last) != (burst.beats == 0)) fail("w: wlast is not on the last beat of its burst");
    if (burst.beats == 0) {
      burst.due = cycle_ + timing_.latency;
      answers_.push_back(burst);
      writes_.pop_front();
    }
  }

  void drive_memory() {
    Vtop& top = *top_;
    read_credit_ = std::min(read_credit_ + timing_.credit, 2 * kOneBeat);
    write_credit_ = std::min(write_credit_ + timing_.credit, 2 * kOneBeat);

    MEMORY(arready) = reads_.size() < timing_.outstanding;
    if (!read_shown_) {
      const bool show = !reads_.empty() && reads_.front().due <= cycle_ && read_credit_ >= kOneBeat;
      MEMORY(rvalid) = show;
      if (show) show_read(reads_.front());
    }

    MEMORY(awready) = writes_.size() + answers_.size() < timing_.outstanding;
    MEMORY(wready) = !writes_.empty() && write_credit_ >= kOneBeat;
    if (!answer_shown_) {
      const bool show = !answers_.empty() && answers_.front().due <= cycle_;
      MEMORY(bvalid) = show;
      if (show) {
        MEMORY(bresp) = answers_.front().allowed ? kOkay : kDecodeError;
        answers_.pop_front();
      }
    }
  }

  void show_read(Burst& burst) {
    Vtop& top = *top_;
    read_credit_ -= kOneBeat;
    if (traffic_.read_beats++ == 0) traffic_.first_read = cycle_;
    traffic_.last_read = cycle_;
    uint64_t data = 0;
    if (burst.allowed) std::memcpy(&data, dram_ + (burst.address - base_), kBeatBytes);
    MEMORY(rdata) = data;
    MEMORY(rresp) = burst.allowed ? kOkay : kDecodeError;
    burst.address += kBeatBytes;
    MEMORY(rlast) = --burst.beats == 0;
    if (burst.beats == 0) reads_.pop_front();
  }

  uint8_t* dram_;
  uint64_t base_;
  MemoryTiming timing_;
  std::map<uint64_t, uint64_t> allowed_;  // first byte -> length of each live allocation
  VerilatedContext context_;
  std::unique_ptr<Vtop> top_;
#if VM_TRACE
  std::unique_ptr<Trace> trace_;
  uint64_t time_ = 0;
#endif
  uint64_t cycle_ = 0;
  std::string error_;

  bool host_busy_ = false;
  uint32_t host_data_ = 0;

  std::deque<Burst> reads_, writes_, answers_;
  Held<Address> read_address_, write_address_;
  Held<WriteBeat> write_beat_;
  bool read_shown_ = false, answer_shown_ = false;  // an answer waits for its ready
  uint32_t read_credit_ = 0, write_credit_ = 0;
  Traffic traffic_;
};

}  // namespace

extern "C" {

Board* board_new(uint8_t* dram, uint64_t base, uint64_t latency, uint32_t credit, uint32_t outstanding,
                 const char* trace) {
  return new Board(dram, base, {latency, credit, outstanding}, trace);
}
void board_delete(Board* board) { delete board; }
void board_allow(Board* board, uint64_t address, uint64_t n_bytes) { board->allow(address, n_bytes); }
void board_revoke(Board* board, uint64_t address) { board->revoke(address); }
int board_read(Board* board, uint32_t offset, uint32_t* value) { return board->read(offset, value); }
int board_write(Board* board, uint32_t offset, uint32_t value) { return board->write(offset, value); }
int board_run(Board* board, uint64_t n_cycles, int until_interrupt) { return board->run(n_cycles, until_interrupt); }
int board_interrupt(const Board* board) { return board->interrupt(); }
uint64_t board_cycles(const Board* board) { return board->cycle(); }
void board_clear_traffic(Board* board) { board->traffic() = {}; }
void board_traffic(Board* board, uint64_t* counts) {
  const Traffic& traffic = board->traffic();
  counts[0] = traffic.read_beats;
  counts[1] = traffic.write_beats;
  counts[2] = traffic.first_read;
  counts[3] = traffic.last_read;
}
const char* board_error(const Board* board) { return board->error(); }
}
