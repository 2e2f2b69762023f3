//! CEL's standard functions, as far as plans have them.
