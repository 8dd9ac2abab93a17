//! One `Network` against the laws, whatever the others do.

mod bare;
mod harm;
mod hostile;
mod repeats;
mod room;
mod watched;
