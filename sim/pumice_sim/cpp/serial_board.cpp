// A pin-level board with one verilated Ulx3s: its oscillator, and the far end of its serial port.
//
// A cycle: raise the clock, drive and sample the pins, lower the clock. The plain C interface at the end is wrapped by
// serial_board.py, which states what each call promises.

#include <cstdint>
#include <deque>

#include "Vtop.h"
#include "verilated.h"

namespace {

constexpr int kResetCycles = 8;
constexpr int kDataBits = 8;

class SerialBoard {
 public:
  explicit SerialBoard(uint32_t divider) : divider_(divider), top_(&context_) {
    top_.ftdi_txd = 1;
    top_.button = 1;
    for (int i = 0; i < kResetCycles; ++i) step();
    top_.button = 0;
  }
  ~SerialBoard() { top_.final(); }

  void send(const uint8_t* bytes, uint64_t n) { to_board_.insert(to_board_.end(), bytes, bytes + n); }

  uint64_t receive(uint8_t* bytes, uint64_t room) {
    uint64_t n = 0;
    for (; n < room && !from_board_.empty(); ++n) {
      bytes[n] = from_board_.front();
      from_board_.pop_front();
    }
    return n;
  }

  void run(uint64_t n_cycles) {
    // Verilator keeps the context of the last model that a thread made.
    Verilated::threadContextp(&context_);
    for (uint64_t i = 0; i < n_cycles; ++i) {
      step();
      drive();
      sample();
    }
  }

  unsigned lamps() const { return top_.led; }

 private:
  void step() {
    top_.clk25 = 1;
    top_.eval();
    top_.clk25 = 0;
    top_.eval();
  }

  // Start bit, data, stop bit in one shift register, LSB first.
  void drive() {
    if (send_wait_ > 0) {
      --send_wait_;
      return;
    }
    if (send_bits_ == 0) {
      if (to_board_.empty()) return;
      send_shift_ = 1u << (kDataBits + 1) | static_cast<unsigned>(to_board_.front()) << 1;
      send_bits_ = kDataBits + 2;
      to_board_.pop_front();
    }
    top_.ftdi_txd = send_shift_ & 1;
    send_shift_ >>= 1;
    --send_bits_;
    send_wait_ = divider_ - 1;
  }

  void sample() {
    if (receive_bits_ == 0) {
      if (top_.ftdi_rxd) return;
      receive_bits_ = kDataBits + 1;
      receive_wait_ = divider_ + divider_ / 2 - 1;  // to the middle of the first data bit
    } else if (receive_wait_ > 0) {
      --receive_wait_;
    } else {
      receive_shift_ = receive_shift_ >> 1 | static_cast<unsigned>(top_.ftdi_rxd) << kDataBits;
      receive_wait_ = divider_ - 1;
      if (--receive_bits_ == 0 && top_.ftdi_rxd) from_board_.push_back(static_cast<uint8_t>(receive_shift_));
    }
  }

  uint32_t divider_;
  VerilatedContext context_;
  Vtop top_;
  std::deque<uint8_t> to_board_, from_board_;
  unsigned send_shift_ = 0, receive_shift_ = 0;
  uint32_t send_bits_ = 0, send_wait_ = 0, receive_bits_ = 0, receive_wait_ = 0;
};

}  // namespace

extern "C" {

SerialBoard* serial_board_new(uint32_t divider) { return new SerialBoard(divider); }
void serial_board_delete(SerialBoard* board) { delete board; }
void serial_board_send(SerialBoard* board, const uint8_t* bytes, uint64_t n) { board->send(bytes, n); }
uint64_t serial_board_receive(SerialBoard* board, uint8_t* bytes, uint64_t room) { return board->receive(bytes, room); }
void serial_board_run(SerialBoard* board, uint64_t n_cycles) { board->run(n_cycles); }
unsigned serial_board_lamps(const SerialBoard* board) { return board->lamps(); }
}
