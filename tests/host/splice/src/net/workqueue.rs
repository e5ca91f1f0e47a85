// SPDX-License-Identifier: GPL-2.0

//! Alarms that ring when the test looks.

use super::time::jiffies;
use kernel::sync::{Arc, UniqueArc};
use std::{cell::Cell, marker::PhantomData};

/// A queue of work.
pub struct Queue;

/// When it rings next.
pub struct Alarm<T>(Cell<Option<usize>>, PhantomData<T>);

/// What has an alarm.
pub trait HasAlarm: Sized {
    /// The alarm.
    fn alarm(&self) -> &Alarm<Self>;
    /// Where it rings.
    fn queue(&self) -> &Queue;
    /// It rings.
    fn ring(&self);
}

impl<T> Alarm<T> {
    /// One that is not set.
    #[expect(clippy::new_without_default, reason = "as the kernel's")]
    pub fn new() -> Self {
        Alarm(Cell::new(None), PhantomData)
    }
}

/// Makes the alarm of a value usable.
pub fn arm<T: HasAlarm>(value: UniqueArc<T>) -> Arc<T> {
    value.into()
}

/// Sets the alarm.
pub fn set<T: HasAlarm>(value: &T, delay: usize) {
    value.alarm().0.set(Some(jiffies().saturating_add(delay)));
}

/// It is set no more.
pub fn retire<T: HasAlarm>(value: &T) {
    cancel(value);
}

/// Takes it back.
pub fn cancel<T: HasAlarm>(value: &T) {
    value.alarm().0.set(None);
}

/// Lets it ring if it is time.
pub fn look<T: HasAlarm>(value: &T) {
    let _ = value.queue();
    if value.alarm().0.get().is_some_and(|at| at <= jiffies()) {
        cancel(value);
        value.ring();
    }
}
