//! One step of whatever has states: taken if the table of what may follow what knows it.

/// Whether it was taken.
pub fn step<S: Copy>(state: &mut S, next: S, may_become: fn(S, S) -> bool) -> bool {
    let legal = may_become(*state, next);
    if legal {
        *state = next;
    }
    legal
}
