//! The program `bluering-sim`.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a program")]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may panic"))]

mod cli;

use bluering_sim::world::AllocationMeter;
use std::process::ExitCode;

/// Naming the crate puts its counting allocator under the whole program. The library never does.
const METER: AllocationMeter = AllocationMeter {
    measure: |work| allocation_counter::measure(work).count_total,
    exempt: |work| allocation_counter::opt_out(work),
};

fn main() -> ExitCode {
    cli::main(std::env::args_os().collect())
}
