//! Reads the headers of received frames below tungstenite, which knows no extensions and hides some close codes.
//!
//! A compressed message has the first reserved bit set in its first frame (RFC 7692, section 6). tungstenite refuses that bit, and
//! it checks that text is UTF-8, which compressed text is not. So the bit is cleared and text becomes binary, in place, and what the
//! message was is kept until tungstenite has put it together.

use std::collections::VecDeque;

use networking_spi::websocket::CloseFrame;

const COMPRESSED: u8 = 0x40;
const MASKED: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;

/// The longest payload of a control frame, in bytes.
const MAX_CONTROL: usize = 125;

/// What a received data message is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    CompressedText,
    CompressedBinary,
}

/// Follows the frames of a connection.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Whether compression was negotiated.
    compressed: bool,
    place: Place,
    /// The data messages whose first frame was read, and that tungstenite has not returned yet. Only with compression.
    forms: VecDeque<Form>,
    /// The payload of the first close frame. What follows it is ignored (RFC 6455, section 5.5.1).
    close: Vec<u8>,
    closed: bool,
}

/// Where in a frame the next byte is.
#[derive(Debug, Default)]
enum Place {
    /// At its first byte.
    #[default]
    Start,
    /// At the byte of the mask and the length.
    Length {
        opcode: u8,
    },
    /// In a longer length, and then in the mask.
    Extended {
        opcode: u8,
        missing: u8,
        mask: u8,
        length: u64,
    },
    Payload {
        opcode: u8,
        left: u64,
    },
}

impl Frames {
    pub(super) fn new(compressed: bool) -> Self {
        Self {
            compressed,
            ..Self::default()
        }
    }

    /// Reads the next received bytes, and changes them for tungstenite.
    pub(super) fn read(&mut self, mut bytes: &mut [u8]) {
        while let Some(first) = bytes.first_mut() {
            let used = match self.place {
                Place::Start => {
                    self.start(first);
                    1
                }
                Place::Length { opcode } => {
                    let (mask, length) = (*first & MASKED, *first & !MASKED);
                    let mask = if mask == 0 { 0 } else { 4 };
                    let missing = match length {
                        126 => 2,
                        127 => 8,
                        _ => 0,
                    };
                    let length = if missing == 0 { u64::from(length) } else { 0 };
                    self.place = extended(opcode, missing, mask, length);
                    1
                }
                Place::Extended {
                    opcode,
                    missing,
                    mask,
                    length,
                } => {
                    self.place = if missing > 0 {
                        extended(opcode, missing - 1, mask, (length << 8) | u64::from(*first))
                    } else {
                        extended(opcode, 0, mask - 1, length)
                    };
                    1
                }
                Place::Payload { opcode, left } => {
                    let part = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    if opcode == CLOSE && !self.closed {
                        let room = MAX_CONTROL.saturating_sub(self.close.len());
                        self.close.extend_from_slice(&bytes[..part.min(room)]);
                    }
                    self.place = Place::Payload {
                        opcode,
                        left: left - part as u64,
                    };
                    part
                }
            };
            if let Place::Payload { opcode, left: 0 } = self.place {
                self.closed |= opcode == CLOSE;
                self.place = Place::Start;
            }
            bytes = &mut bytes[used..];
        }
    }

    fn start(&mut self, first: &mut u8) {
        let opcode = *first & OPCODE;
        if self.compressed && matches!(opcode, TEXT | BINARY) {
            let form = match (*first & COMPRESSED != 0, opcode) {
                (false, _) => Form::Plain,
                (true, TEXT) => Form::CompressedText,
                (true, _) => Form::CompressedBinary,
            };
            if form != Form::Plain {
                *first = (*first & !(COMPRESSED | OPCODE)) | BINARY;
            }
            self.forms.push_back(form);
        }
        self.place = Place::Length { opcode };
    }

    /// What the next message of tungstenite was on the wire.
    pub(super) fn next_form(&mut self) -> Form {
        self.forms.pop_front().unwrap_or(Form::Plain)
    }

    /// The close frame as the peer sent it, once tungstenite has accepted it.
    pub(super) fn close_frame(&self) -> Option<CloseFrame> {
        let (code, reason) = self.close.split_first_chunk()?;
        Some(CloseFrame::new(
            u16::from_be_bytes(*code),
            String::from_utf8_lossy(reason),
        ))
    }
}

fn extended(opcode: u8, missing: u8, mask: u8, length: u64) -> Place {
    if missing == 0 && mask == 0 {
        Place::Payload { opcode, left: length }
    } else {
        Place::Extended {
            opcode,
            missing,
            mask,
            length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINAL: u8 = 0x80;

    /// The first byte of a compressed message of one frame.
    const fn first_byte(opcode: u8) -> u8 {
        FINAL | COMPRESSED | opcode
    }

    /// The bytes as tungstenite gets them, in reads of `step` bytes.
    fn changed(frames: &mut Frames, bytes: &[u8], step: usize) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for part in bytes.chunks_mut(step) {
            frames.read(part);
        }
        bytes
    }

    #[test]
    fn compressed_messages_are_marked_wherever_reads_end() {
        let mut sent = vec![first_byte(TEXT), 3, 1, 2, 3];
        // A ping, a fragmented binary message with a continuation, long lengths, and an uncompressed text.
        sent.extend([FINAL | 0x9, 1, 7]);
        sent.extend([COMPRESSED | BINARY, 126, 0, 130]);
        sent.extend([0xff; 130]);
        sent.extend([FINAL, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        sent.extend(vec![0xc1; 65_536]);
        sent.extend([FINAL | TEXT, 0]);
        sent.extend([FINAL | TEXT, MASKED | 2, 1, 2, 3, 4, 5, 6]);
        let mut expected = sent.clone();
        expected[0] = FINAL | BINARY;
        expected[8] = BINARY;
        for step in [1, 2, 3, 7, 1_000, sent.len()] {
            let mut frames = Frames::new(true);
            assert_eq!(changed(&mut frames, &sent, step), expected, "reads of {step} bytes");
            let forms: Vec<_> = (0..4).map(|_| frames.next_form()).collect();
            assert_eq!(
                forms,
                [Form::CompressedText, Form::CompressedBinary, Form::Plain, Form::Plain]
            );
        }
    }

    #[test]
    fn the_bit_is_left_where_the_rfc_does_not_allow_it() {
        for (compressed, first) in [
            (false, first_byte(TEXT)),
            (true, first_byte(0)),
            (true, first_byte(0x9)),
        ] {
            let sent = [first, 1, 0];
            assert_eq!(changed(&mut Frames::new(compressed), &sent, 3), sent);
        }
    }

    #[test]
    fn the_close_frame_is_kept_as_it_was_sent() {
        for code in [1000_u16, 1014, 2999, 999, 5000] {
            let mut sent = vec![FINAL | CLOSE, 5];
            sent.extend(code.to_be_bytes());
            sent.extend(b"bye");
            let mut frames = Frames::new(false);
            assert_eq!(changed(&mut frames, &sent, 2), sent);
            assert_eq!(frames.close_frame(), Some(CloseFrame::new(code, "bye")));
            // A second close frame, which no peer should send.
            changed(&mut frames, &[FINAL | CLOSE, 3, 3, 232, b'x'], 2);
            assert_eq!(frames.close_frame(), Some(CloseFrame::new(code, "bye")));
        }
        let mut frames = Frames::new(false);
        changed(&mut frames, &[FINAL | CLOSE, 0], 1);
        assert_eq!(frames.close_frame(), None);
    }
}
