//! System calls the other crates need; the only place with unsafe code.
