//! The core's interpolator for JavaScript.

use std::time::Duration;

use js_sys::{Array, Float32Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use wattle_core::{Component, Timestamp};

/// How many numbers a snapshot has at most; what is not used costs nothing but its room.
const MOST: usize = 8;

/// Makes smooth motion out of another node's states; `js/wattle.d.ts` describes it.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Interpolator {
    inner: wattle_core::Interpolator<MOST>,
    count: usize,
}

#[wasm_bindgen]
impl Interpolator {
    /// For numbers of these kinds: `linear`, `angle` or `step`. Times are in milliseconds.
    ///
    /// # Errors
    /// If there are none or more than 8, or a kind is not known.
    #[wasm_bindgen(constructor)]
    pub fn new(
        components: Array,
        delay: Option<f64>,
        extrapolation: Option<f64>,
    ) -> Result<Self, JsValue> {
        let mut kinds = [Component::Step; MOST];
        let count = usize::try_from(components.length()).unwrap_or(usize::MAX);
        if count == 0 || count > MOST {
            return Err(super::usage("an interpolator has 1 to 8 components"));
        }
        for (kind, name) in kinds.iter_mut().zip(components.iter()) {
            *kind = match name.as_string().as_deref() {
                Some("linear") => Component::Linear,
                Some("angle") => Component::Angle,
                Some("step") => Component::Step,
                _ => return Err(super::usage("a component is linear, angle or step")),
            };
        }
        let mut inner = wattle_core::Interpolator::new(kinds);
        if let Some(delay) = delay {
            inner = inner.with_delay(duration(delay));
        }
        if let Some(extrapolation) = extrapolation {
            inner = inner.with_extrapolation(duration(extrapolation));
        }
        Ok(Self { inner, count })
    }

    /// A snapshot that was sent at `sent` on the sender's clock and came at `arrived` on ours.
    pub fn push(&mut self, arrived: f64, sent: f64, values: &[f32], teleport: bool) -> bool {
        let mut all = [0.0; MOST];
        for (place, value) in all.iter_mut().zip(values) {
            *place = *value;
        }
        let (arrived, sent) = (timestamp(arrived), duration(sent));
        if teleport {
            self.inner.push_teleport(arrived, sent, all)
        } else {
            self.inner.push(arrived, sent, all)
        }
    }

    /// What to draw at `now`, into `values`; `false` before the first snapshot.
    pub fn sample(&self, now: f64, values: &Float32Array) -> bool {
        let Some(all) = self.inner.sample(timestamp(now)) else {
            return false;
        };
        for (place, value) in (0..values.length()).zip(all.iter().take(self.count)) {
            values.set_index(place, *value);
        }
        true
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.inner.reset();
    }
}

fn duration(milliseconds: f64) -> Duration {
    // What is negative or no number is none.
    Duration::try_from_secs_f64(milliseconds / 1_000.0).unwrap_or_default()
}

fn timestamp(milliseconds: f64) -> Timestamp {
    Timestamp::ZERO.plus(duration(milliseconds))
}
