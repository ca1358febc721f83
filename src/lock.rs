//! Locks that are taken whoever panicked while holding them: what they guard is changed in steps that leave it whole.

use std::sync::{LockResult, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The guard.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    whole(mutex.lock())
}

/// The guard of one of many who look.
pub fn read<T>(both: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    whole(both.read())
}

/// The guard of the one who changes it.
pub fn write<T>(both: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    whole(both.write())
}

/// What a wait on a condition gives.
pub fn whole<T>(result: LockResult<T>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}
