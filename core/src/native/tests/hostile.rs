//! What a hostile network or peer can send.
