//! The attributes of TURN's messages that we look at, all others pass through unread. What is here is
//! what stun_codec's macro makes.

// The macro expects it to be there.
use alloc::format;

use stun_codec::rfc5389::attributes::{
    AlternateServer, ErrorCode, MessageIntegrity, Nonce, Realm, Username, XorMappedAddress,
};
use stun_codec::rfc5766::attributes::{
    ChannelNumber, Data, Lifetime, RequestedTransport, XorPeerAddress, XorRelayAddress,
};
use stun_codec::rfc8656::attributes::RequestedAddressFamily;

stun_codec::define_attribute_enums!(
    Attribute,
    AttributeDecoder,
    AttributeEncoder,
    [
        Username,
        Realm,
        Nonce,
        MessageIntegrity,
        ErrorCode,
        AlternateServer,
        Lifetime,
        RequestedTransport,
        RequestedAddressFamily,
        ChannelNumber,
        XorMappedAddress,
        XorRelayAddress,
        XorPeerAddress,
        Data
    ]
);
