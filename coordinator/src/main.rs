//! `nexusmon`: the coordinator, and the command line that talks to one.
fn main() {}
