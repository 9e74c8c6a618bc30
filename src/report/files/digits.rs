//! Numbers as text, fast: a line is written for each job, and there may be a million in a second.

/// `whole`, in digits.
pub fn integer(whole: u64, out: &mut String) {
    out.push_str(itoa::Buffer::new().format(whole));
}

/// `whole.thousandths`, the latter in three digits.
pub fn decimal(whole: u64, thousandths: u32, out: &mut String) {
    integer(whole, out);
    out.push('.');
    for place in [100, 10, 1] {
        out.push(char::from(b'0' + (thousandths / place % 10) as u8));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_have_three_digits_behind_the_point() {
        let decimal = |whole, thousandths| {
            let mut out = String::new();
            super::decimal(whole, thousandths, &mut out);
            out
        };
        assert_eq!(
            [decimal(0, 0), decimal(12, 7), decimal(u64::MAX, 999)],
            ["0.000", "12.007", "18446744073709551615.999"]
        );
    }
}
