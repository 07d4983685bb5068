export { loadSettings, type Settings, SettingsSchema } from './settings.ts';
