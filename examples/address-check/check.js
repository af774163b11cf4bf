// Puts postal addresses into one form, and refuses those that no letter would reach.

import { Failure, config, counter } from "riverhook-function";

/** What a postcode looks like, by country. */
const POSTCODES = {
  AT: /^\d{4}$/,
  CH: /^\d{4}$/,
  DE: /^\d{5}$/,
  FR: /^\d{5}$/,
  GB: /^[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}$/,
  NL: /^\d{4} ?[A-Z]{2}$/,
  US: /^\d{5}(-\d{4})?$/,
};

export default function check(address) {
  const country = tidy(address.country).toUpperCase() || config("DEFAULT_COUNTRY") || "";
  const [street, city] = [tidy(address.street), tidy(address.city)];
  const postcode = tidy(address.postcode).toUpperCase();
  // Messages hold no part of an address: they end in logs.
  if (!street) throw new Failure("Address.NoStreet", "`street` is missing");
  if (!/\d/.test(street)) throw new Failure("Address.NoHouseNumber", "`street` has no house number");
  if (!city) throw new Failure("Address.NoCity", "`city` is missing");
  if (!(country in POSTCODES)) throw new Failure("Address.UnknownCountry", "`country` is not one that we send to");
  if (!POSTCODES[country].test(postcode)) {
    throw new Failure("Address.BadPostcode", "`postcode` does not look like one of its country");
  }
  const good = { id: address.id, street, postcode, city, country };
  const corrected = Object.keys(good).some((key) => good[key] !== address[key]);
  if (corrected) counter("addresses_corrected");
  return { ...good, corrected };
}

/** The text with single spaces, or nothing. */
function tidy(text) {
  return (text ?? "").replace(/\s+/g, " ").trim();
}
