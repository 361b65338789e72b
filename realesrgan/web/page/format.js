/** Numbers, sizes and times as people of a language write them. */

const BYTE_UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];

/** Formatters for one language, which is a BCP 47 tag. */
export function createFormat(language) {
  const unit = (value, name, digits = 0) => {
    const unitDisplay = name === "byte" ? "long" : "short"; // the short form has no plural
    const style = { style: "unit", unit: name, unitDisplay, maximumFractionDigits: digits };
    const written = new Intl.NumberFormat(language, style).format(value);
    // A unit stays with its number; between digits and Chinese goes a space as well.
    return written.replace(/(\d)(?=\p{Script=Han})/gu, "$1 ").replaceAll(" ", "\u00a0");
  };

  const number = (value, digits = 0) =>
    new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value);

  /** 0…1 as whole percent. */
  const percent = (share) => new Intl.NumberFormat(language, { style: "percent" }).format(share);

  const bytes = (count) => {
    let power = 0;
    while (count >= 1000 && power < BYTE_UNITS.length - 1) {
      count /= 1000;
      power += 1;
    }
    return unit(count, BYTE_UNITS[power], count < 10 && power > 1 ? 1 : 0);
  };

  /** Seconds in at most two units, coarse enough for an estimate. */
  const duration = (seconds) => {
    seconds = Math.max(1, Math.round(seconds));
    if (seconds < 60) return unit(seconds, "second");
    if (seconds < 600 && seconds % 60 >= 5)
      return `${unit(Math.floor(seconds / 60), "minute")} ${unit(seconds % 60, "second")}`;
    const minutes = Math.round(seconds / 60);
    if (minutes < 60) return unit(minutes, "minute");
    const hours = Math.floor(minutes / 60);
    return minutes % 60 ? `${unit(hours, "hour")} ${unit(minutes % 60, "minute")}` : unit(hours, "hour");
  };

  /** A position in a film, such as 1:02:03 or 0:07. */
  const clock = (seconds) => {
    const whole = Math.floor(Math.max(0, seconds));
    const parts = [Math.floor(whole / 60) % 60, whole % 60];
    if (whole >= 3600) parts.unshift(Math.floor(whole / 3600));
    return parts.map((part, index) => (index ? String(part).padStart(2, "0") : String(part))).join(":");
  };

  /** The time of day, with the date if it is not today. */
  const moment = (iso) => {
    const date = new Date(iso);
    const isToday = date.toDateString() === new Date().toDateString();
    const day = isToday ? {} : { month: "short", day: "numeric" };
    return new Intl.DateTimeFormat(language, { ...day, hour: "numeric", minute: "2-digit" }).format(date);
  };

  const size = ({ width, height }) => `${width}\u00a0×\u00a0${height}`;

  return { number, percent, bytes, duration, clock, moment, size };
}
