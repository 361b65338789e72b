/** All words on the screen, in the reader's language, and the switch between languages. */
import { createFormat } from "./format.js";
import english from "./words.en.js";
import chinese from "./words.zh.js";

const LANGUAGES = { en: { tag: "en", words: english }, zh: { tag: "zh-CN", words: chinese } };
const REMEMBERED = "realesrgan.language";

let language = chooseLanguage();
let format = createFormat(LANGUAGES[language].tag);
const values = new WeakMap(); // element → what is filled into its words
const labelValues = new WeakMap();

function chooseLanguage() {
  const remembered = localStorage.getItem(REMEMBERED);
  if (remembered in LANGUAGES) return remembered;
  const wanted = (navigator.languages ?? [navigator.language]).map((tag) => tag.slice(0, 2).toLowerCase());
  return wanted.find((tag) => tag in LANGUAGES) ?? "en";
}

/** Whether there are words for `key`. */
export function known(key) {
  return key in LANGUAGES[language].words;
}

/** The words of `key`: a sentence, or a function of what is filled in and of the formatters. */
export function text(key, filled = {}) {
  const words = LANGUAGES[language].words[key];
  return typeof words === "function" ? words(filled, format) : words;
}

/** An error with the name of the field that it is about, as the form calls it. `field` may be null. */
export function withField(error, field) {
  if (!field || !known(`field.${field}`)) return error;
  return text("row.field_error", { field: text(`field.${field}`), error: error.replace(`${field}: `, "") });
}

/** Put the words of `key` into an element. They follow the language from then on. Returns the element. */
export function say(element, key, filled = {}) {
  element.dataset.word = key;
  values.set(element, filled);
  const wanted = text(key, filled);
  if (element.textContent !== wanted) element.textContent = wanted; // an equal text would be read aloud again
  return element;
}

/** Put plain text, such as a sentence of the server's, where `say` may have put words before. */
export function quote(element, sentence) {
  delete element.dataset.word;
  if (element.textContent !== sentence) element.textContent = sentence;
  return element;
}

/** Name an element for assistive technology, and as a tooltip where it is a button. Returns the element. */
export function label(element, key, filled = {}) {
  element.dataset.wordLabel = key;
  labelValues.set(element, filled);
  const name = text(key, filled);
  if (element.getAttribute("aria-label") !== name) element.setAttribute("aria-label", name);
  if (element.localName === "button" || element.localName === "a") element.title = name;
  return element;
}

/** Fill in every element of the document that has words. */
export function translate() {
  document.documentElement.lang = LANGUAGES[language].tag;
  for (const element of document.querySelectorAll("[data-word]")) {
    say(element, element.dataset.word, values.get(element));
  }
  for (const element of document.querySelectorAll("[data-word-label]")) {
    label(element, element.dataset.wordLabel, labelValues.get(element));
  }
}

/** Make a button switch the language. "language" is then dispatched on the document. */
export function createSwitch(element) {
  say(element, "language.other");
  element.lang = language === "en" ? "zh-CN" : "en"; // its words are in the other language
  element.addEventListener("click", () => {
    language = language === "en" ? "zh" : "en";
    format = createFormat(LANGUAGES[language].tag);
    localStorage.setItem(REMEMBERED, language);
    element.lang = language === "en" ? "zh-CN" : "en";
    translate();
    document.dispatchEvent(new CustomEvent("language"));
  });
}
