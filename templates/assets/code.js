// What the service does with a typed code, in the browser: groups of four, and the check digit (Damm). Pure.

export const LEAST = 12;
const DAMM = [
  "0317598642",
  "7092154863",
  "4206871359",
  "1750983426",
  "6123045978",
  "3674209581",
  "5869720134",
  "8945362017",
  "9438617205",
  "2581436790",
];

export const digitsOf = (text) => text.replace(/[^0-9]/g, "");

export const grouped = (digits) => (digits.match(/.{1,4}/g) ?? []).join(" ");

// 0 for digits that end in their own check digit.
export const checksum = (digits) => [...digits].reduce((row, digit) => Number(DAMM[row][Number(digit)]), 0);

// What is wrong with a code of LEAST to `most` digits: "short", "long", "wrong", or null. Whether it exists, nobody here knows.
export function slipIn(text, most) {
  const digits = digitsOf(text);
  if (digits.length < LEAST) return digits ? "short" : null;
  if (digits.length > most) return "long";
  return digits[0] === "0" || checksum(digits) !== 0 ? "wrong" : null;
}
