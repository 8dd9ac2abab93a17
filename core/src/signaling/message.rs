//! The JSON frames of PeerServer.

use alloc::string::String;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A frame as it comes; only what we look at.
#[derive(Debug, Deserialize)]
pub(crate) struct Frame<'a> {
    #[serde(rename = "type", borrow)]
    pub(crate) kind: alloc::borrow::Cow<'a, str>,
    #[serde(default, borrow)]
    pub(crate) src: Option<alloc::borrow::Cow<'a, str>>,
    #[serde(default, borrow)]
    pub(crate) dst: Option<alloc::borrow::Cow<'a, str>>,
    #[serde(default, borrow)]
    pub(crate) payload: Option<&'a RawValue>,
}

/// A frame as it leaves, in PeerServer's order of members.
#[derive(Debug, Serialize)]
pub(crate) struct FrameOut<'a, P: Serialize> {
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) src: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dst: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<P>,
}

impl<P: Serialize> FrameOut<'_, P> {
    /// The frame as text.
    pub(crate) fn to_text(&self) -> String {
        // Strings, numbers and raw JSON cannot fail to serialize.
        serde_json::to_string(self).unwrap_or_default()
    }
}
