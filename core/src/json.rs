//! JSON: what others wrote is read where it stands, what we say is written.
//!
//! Only what somebody asks for is turned into types of ours, and only when it is asked for: payloads
//! and numbers stay as they were written. (serde makes a reader of its own for every shape of object:
//! with it that was a seventh of the module that a page loads.)

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::str::FromStr;

use hifijson::num::Lex as _;
use hifijson::str::{Lex as _, LexAlloc as _};
use hifijson::token::Lex as _;
use hifijson::{Read as _, SliceLexer};

/// A value as it is written, without white space around it; it was found to be JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value<'a>(&'a str);

/// The members with these names of the object that `text` is, if they are there. The others are passed
/// over. `None` if `text` is anything else than one object, or has one of the members twice.
pub(crate) fn members<'a, const N: usize>(
    text: &'a str,
    names: [&str; N],
) -> Option<[Option<Value<'a>>; N]> {
    let mut values = [None; N];
    read_members(text, &names, &mut values).map(|()| values)
}

/// The same for any number of names, in one piece of code.
fn read_members<'a>(text: &'a str, names: &[&str], values: &mut [Option<Value<'a>>]) -> Option<()> {
    each_member(text, &mut |name, value| {
        let known = names.iter().zip(&mut *values).find(|(it, _)| **it == name);
        match known {
            Some((_, place)) => place.replace(value).is_none().then_some(()),
            None => Some(()),
        }
    })
}

/// What `read` makes of a member; it may be missing or `null`.
pub(crate) fn optional<'a, T>(
    member: Option<Value<'a>>,
    read: impl Fn(Value<'a>) -> Option<T>,
) -> Option<Option<T>> {
    match member {
        Some(value) if !value.is_null() => read(value).map(Some),
        Some(_) | None => Some(None),
    }
}

/// Calls `found` for every member of the object that `text` is, until it returns `None`.
pub(crate) fn each_member<'a>(
    text: &'a str,
    found: &mut dyn FnMut(Cow<'a, str>, Value<'a>) -> Option<()>,
) -> Option<()> {
    let mut reader = Reader::new(text);
    reader.take(b'{')?;
    let mut first = true;
    while reader.goes_on(first, b'}')? {
        first = false;
        reader.take(b'"')?;
        let name = reader.lexer.str_string().ok()?;
        reader.take(b':')?;
        found(name, reader.value()?)?;
    }
    reader.end()
}

/// After how many bytes `text` can no longer become a value; `None` if it is one.
pub(crate) fn broken_at(text: &str) -> Option<usize> {
    let mut reader = Reader::new(text);
    let whole = reader.value().and_then(|_| reader.end());
    whole.is_none().then(|| reader.at())
}

impl<'a> Value<'a> {
    /// The one value that `text` is; `None` if it is anything else.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let mut reader = Reader::new(text);
        let value = reader.value()?;
        reader.end().map(|()| value)
    }

    /// As it is written.
    pub(crate) const fn raw(self) -> &'a str {
        self.0
    }

    pub(crate) fn is_null(self) -> bool {
        self.0 == "null"
    }

    pub(crate) fn flag(self) -> Option<bool> {
        self.0.parse().ok()
    }

    /// A whole number in the range of `T`.
    pub(crate) fn number<T: FromStr>(self) -> Option<T> {
        self.0.parse().ok()
    }

    /// A text that can be one: half of a surrogate pair cannot.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        let mut reader = Reader::new(self.0);
        reader.take(b'"')?;
        reader.lexer.str_string().ok()
    }

    /// The elements of a list that has so many at most.
    pub(crate) fn elements(self, most: u16) -> Option<Vec<Self>> {
        let mut reader = Reader::new(self.0);
        reader.take(b'[')?;
        let mut elements = Vec::new();
        while reader.goes_on(elements.is_empty(), b']')? {
            if elements.len() >= usize::from(most) {
                return None;
            }
            elements.push(reader.value()?);
        }
        Some(elements)
    }

    /// As [`members`].
    pub(crate) fn members<const N: usize>(self, names: [&str; N]) -> Option<[Option<Self>; N]> {
        members(self.0, names)
    }
}

struct Reader<'a> {
    text: &'a str,
    lexer: SliceLexer<'a>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Self {
        let lexer = SliceLexer::new(text.as_bytes());
        Self { text, lexer }
    }

    /// How many bytes were read.
    fn at(&self) -> usize {
        self.text.len().saturating_sub(self.lexer.as_slice().len())
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.lexer.ws_peek()? == byte).then(|| self.next())
    }

    fn next(&mut self) {
        self.lexer.take_next();
    }

    fn end(&mut self) -> Option<()> {
        self.lexer.ws_peek().is_none().then_some(())
    }

    fn value(&mut self) -> Option<Value<'a>> {
        self.lexer.eat_whitespace();
        let from = self.at();
        self.pass()?;
        self.text.get(from..self.at()).map(Value)
    }

    /// Whether another part of a list or an object follows; else `close` was read.
    fn goes_on(&mut self, first: bool, close: u8) -> Option<bool> {
        let next = self.lexer.ws_peek()?;
        if next == close {
            self.next();
        } else if !first {
            self.take(b',')?;
        }
        Some(next != close)
    }

    /// Reads a value that nobody looks at. What is nested in it takes a byte each, and no stack.
    fn pass(&mut self) -> Option<()> {
        // What closes the lists and objects around us.
        let mut around: Vec<u8> = Vec::new();
        loop {
            let mut first = false;
            match self.lexer.ws_peek()? {
                b'"' => {
                    self.next();
                    self.lexer.str_ignore().ok()?;
                }
                b'-' | b'0'..=b'9' => {
                    self.lexer.num_ignore().validate().ok()?;
                }
                open @ (b'[' | b'{') => {
                    self.next();
                    around.push(if open == b'[' { b']' } else { b'}' });
                    first = true;
                }
                _ => {
                    self.lexer.null_or_bool()?;
                }
            }
            loop {
                let Some(close) = around.last().copied() else {
                    return Some(());
                };
                if self.goes_on(first, close)? {
                    if close == b'}' {
                        self.take(b'"')?;
                        self.lexer.str_ignore().ok()?;
                        self.take(b':')?;
                    }
                    break;
                }
                around.pop();
                first = false;
            }
        }
    }
}

/// An object that is being written. The names are ours: nothing in them needs an escape.
pub(crate) struct Object(String);

impl Object {
    pub(crate) fn new() -> Self {
        Self(String::from("{"))
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        push_quoted(&mut self.0, value);
    }

    pub(crate) fn flag(&mut self, name: &str, value: bool) {
        self.raw(name, if value { "true" } else { "false" });
    }

    /// A value that is JSON already.
    pub(crate) fn raw(&mut self, name: &str, value: &str) {
        self.name(name);
        self.0.push_str(value);
    }

    pub(crate) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn name(&mut self, name: &str) {
        self.0.push_str(if self.0.len() > 1 { ",\"" } else { "\"" });
        self.0.push_str(name);
        self.0.push_str("\":");
    }
}

/// A text as JSON has it.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::new();
    push_quoted(&mut out, text);
    out
}

fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        let short = match char {
            '"' | '\\' => char,
            '\u{8}' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\u{c}' => 'f',
            '\r' => 'r',
            '\0'..='\u{1f}' => {
                let digit = |value| char::from_digit(value, 16).unwrap_or('0');
                let code = u32::from(char);
                out.push_str("\\u00");
                out.push(digit(code >> 4));
                out.push(digit(code & 15));
                continue;
            }
            _ => {
                out.push(char);
                continue;
            }
        };
        out.push('\\');
        out.push(short);
    }
    out.push('"');
}
