// SPDX-License-Identifier: GPL-2.0

//! An alarm inside a reference-counted value: runs it later, in process context; can be moved
//! forward from softirq and cancelled. (`kernel::workqueue` can delay but not cancel or move.)
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::bindings;
use core::{cell::UnsafeCell, ptr::NonNull};
use kernel::{
    bindings as kb,
    ffi::c_int,
    prelude::*,
    sync::{
        atomic::{AtomicFlag, Full, Relaxed},
        barrier::smp_mb,
        Arc, UniqueArc,
    },
    types::Opaque,
};

/// A workqueue of the module's own: dropping it waits for all that runs on it.
pub struct Queue(NonNull<kb::workqueue_struct>);

// SAFETY: Workqueues are made for concurrent use.
unsafe impl Send for Queue {}
// SAFETY: As above.
unsafe impl Sync for Queue {}

impl Queue {
    /// A new queue. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new() -> Result<Queue> {
        // SAFETY: No requirement; null is checked.
        let ptr = unsafe { bindings::tcp_splice_workqueue() };
        Ok(Queue(NonNull::new(ptr).ok_or(ENOMEM)?))
    }
}

impl Queue {
    /// Waits for what runs on it now. May sleep; not from within [`HasAlarm::ring`].
    pub fn flush(&self) {
        // SAFETY: The queue exists as long as `self`.
        unsafe { kb::__flush_workqueue(self.0.as_ptr()) };
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: Made in `new`, destroyed once. Waits for running items.
        unsafe { kb::destroy_workqueue(self.0.as_ptr()) };
    }
}

/// The alarm. It holds a reference to its owner while it is set.
///
/// # Invariants
///
/// `dwork` is initialised by [`arm`] before anything else uses it, and `owner` is the `Arc` that
/// it is a part of.
#[repr(C)]
pub struct Alarm<T> {
    dwork: Opaque<kb::delayed_work>,
    owner: UnsafeCell<*const T>,
    /// It rings no more.
    retired: AtomicFlag,
}

// SAFETY: `owner` is written once, by `arm`, before the value is shared with anybody who sets it.
unsafe impl<T: Send + Sync> Send for Alarm<T> {}
// SAFETY: As above.
unsafe impl<T: Send + Sync> Sync for Alarm<T> {}

impl<T> Default for Alarm<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Alarm<T> {
    /// Not armed.
    pub const fn new() -> Self {
        Alarm {
            dwork: Opaque::uninit(),
            owner: UnsafeCell::new(core::ptr::null()),
            retired: AtomicFlag::new(false),
        }
    }
}

/// Values with an [`Alarm`] inside.
pub trait HasAlarm: Send + Sync + Sized + 'static {
    /// The one inside.
    fn alarm(&self) -> &Alarm<Self>;
    /// The queue it runs on.
    fn queue(&self) -> &Queue;
    /// The alarm went off. Process context, may sleep.
    fn ring(&self);
}

/// # Safety
///
/// Called by the workqueue with the work of an `Alarm<T>` that was set.
unsafe extern "C" fn callback<T: HasAlarm>(work: *mut kb::work_struct) {
    // SAFETY: The work is the first field of the delayed work, which is that of the `Alarm`.
    let owner = unsafe { *(*work.cast::<Alarm<T>>()).owner.get() };
    // SAFETY: `set` gave this reference away.
    unsafe { Arc::from_raw(owner) }.ring();
}

/// Prepares the alarm of a value that nobody else has yet.
pub fn arm<T: HasAlarm>(value: Pin<UniqueArc<T>>) -> Arc<T> {
    let value: Arc<T> = value.into();
    let alarm = value.alarm();
    // SAFETY: The value was unique a line ago, so nobody reads or sets the alarm yet.
    unsafe {
        *alarm.owner.get() = &*value;
        bindings::tcp_splice_delayed_work_init(alarm.dwork.get(), Some(callback::<T>));
    }
    value
}

/// Sets the alarm, or moves it, to `delay` jiffies from now, unless it is retired. Any context but NMI.
pub fn set<T: HasAlarm>(value: &T, delay: usize) {
    let alarm = value.alarm();
    // SAFETY: `owner` was written once, before the value was shared.
    let owner = unsafe { *alarm.owner.get() };
    if owner.is_null() {
        return;
    }
    // SAFETY: `owner` is the `Arc` that `value`, which is alive, is in. This adds a reference.
    let held = unsafe { core::mem::ManuallyDrop::new(Arc::from_raw(owner)) };
    let extra = Arc::into_raw((*held).clone());
    // SAFETY: Armed; `Queue` outlives its values' alarms, which are cancelled before it goes.
    let pending = unsafe {
        kb::mod_delayed_work_on(
            kb::wq_misc_consts_WORK_CPU_UNBOUND as c_int,
            value.queue().0.as_ptr(),
            alarm.dwork.get(),
            delay,
        )
    };
    if pending {
        // SAFETY: It was set already and holds its reference; the one just added is given back.
        drop(unsafe { Arc::from_raw(extra) });
    }
    // Whoever retires it says so, and takes back what is set then; here it is the other way round. One of the two sees what the
    // other did.
    smp_mb(Full);
    if alarm.retired.load(Relaxed) {
        take_back(alarm, owner);
    }
}

/// Takes back an alarm that is set, without waiting for one that rings. Any context but NMI.
fn take_back<T>(alarm: &Alarm<T>, owner: *const T) {
    // SAFETY: Armed.
    if unsafe { kb::cancel_delayed_work(alarm.dwork.get()) } {
        // SAFETY: The alarm was set and held a reference that it will not give back itself. The caller has another, or `value` would
        // be gone.
        drop(unsafe { Arc::from_raw(owner) });
    }
}

/// The alarm is not set any more, nor can it be: its owner is on its way out, and would otherwise stay as long as the alarm is set. One that
/// rings goes on. Any context but NMI.
pub fn retire<T: HasAlarm>(value: &T) {
    let alarm = value.alarm();
    alarm.retired.xchg(true, Full);
    // SAFETY: As in `set`.
    let owner = unsafe { *alarm.owner.get() };
    if !owner.is_null() {
        take_back(alarm, owner);
    }
}

/// Cancels the alarm and waits until it does not run; what is set by others meanwhile may be set still. May sleep; not from
/// within [`HasAlarm::ring`].
///
/// Not by `cancel_delayed_work_sync`: as long as that waits, work is not queued (`clear_pending_if_disabled`), and the reference that
/// [`set`] gives away would be nobody's.
pub fn cancel<T: HasAlarm>(value: &T) {
    let alarm = value.alarm();
    // SAFETY: As in `set`.
    let owner = unsafe { *alarm.owner.get() };
    if owner.is_null() {
        return;
    }
    take_back(alarm, owner);
    // SAFETY: Armed.
    unsafe { bindings::tcp_splice_delayed_work_wait(alarm.dwork.get()) };
    // What rang may have set it again.
    take_back(alarm, owner);
}

#[cfg(CONFIG_KUNIT = "y")]
#[kunit_tests(tcp_splice_net_workqueue)]
mod tests {
    use super::*;
    use kernel::{
        sync::atomic::Atomic,
        time::{delay::fsleep, Delta},
    };

    /// Rings for a while, and then again.
    struct Clock {
        alarm: Alarm<Clock>,
        queue: Arc<Queue>,
        rang: Atomic<u32>,
    }

    impl HasAlarm for Clock {
        fn alarm(&self) -> &Alarm<Self> {
            &self.alarm
        }

        fn queue(&self) -> &Queue {
            &self.queue
        }

        fn ring(&self) {
            self.rang.add(1, Relaxed);
            fsleep(Delta::from_millis(50));
            // Far enough ahead that it does not ring before it is taken back, however busy the machine is.
            set(self, crate::net::time::from_ms(20_000));
        }
    }

    fn ringing(queue: &Arc<Queue>) -> Result<Arc<Clock>> {
        let clock = UniqueArc::new(
            Clock {
                alarm: Alarm::new(),
                queue: queue.clone(),
                rang: Atomic::new(0),
            },
            GFP_KERNEL,
        )?;
        let clock = arm(clock.into());
        set(&*clock, 0);
        while clock.rang.load(Relaxed) == 0 {
            fsleep(Delta::from_millis(1));
        }
        Ok(clock)
    }

    #[test]
    fn an_alarm_that_is_set_while_it_is_cancelled_holds_nothing() -> Result {
        let queue = Arc::new(Queue::new()?, GFP_KERNEL)?;
        for for_ever in [false, true] {
            let clock = ringing(&queue)?;
            if for_ever {
                retire(&*clock);
            }
            cancel(&*clock);
            let rang = clock.rang.load(Relaxed);
            fsleep(Delta::from_millis(100));
            assert_eq!(clock.rang.load(Relaxed), rang);
            assert!(Arc::into_unique_or_drop(clock).is_some());
        }
        Ok(())
    }
}
