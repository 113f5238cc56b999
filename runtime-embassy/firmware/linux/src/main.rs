//! x
mod flash;
fn main(){}
