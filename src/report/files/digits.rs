//! Numbers as text, fast: a line is written for each job, and there may be a million in a second.

/// `whole`, in digits.
pub fn integer(whole: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
}

/// `whole.thousandths`, the latter in three digits.
pub fn decimal(whole: u64, thousandths: u32, out: &mut Vec<u8>) {
    integer(whole, out);
    let digit = |place| b'0' + (thousandths / place % 10) as u8;
    out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_have_three_digits_behind_the_point() {
        let decimal = |whole, thousandths| {
            let mut out = Vec::new();
            super::decimal(whole, thousandths, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            [decimal(0, 0), decimal(12, 7), decimal(u64::MAX, 999)],
            ["0.000", "12.007", "18446744073709551615.999"]
        );
    }
}
